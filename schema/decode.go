package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ErrUnknownType is returned when an event is not virtcast's, or when this version of the
// package knows neither its kind nor the version of its data.
var ErrUnknownType = errors.New("unknown type of event")

func unknownTypeError(typ string) error { return fmt.Errorf("%w: %.100q", ErrUnknownType, typ) }

// Decode reads an event in structured mode, as [AppendJSON] writes it. The attributes and
// the data must agree. Decode ignores attributes and members that it does not know. It
// accepts a name that it does not know for a number that it has no name for: a newer
// version may have one. The error is an [ErrUnknownType] for an event that may be valid
// but is not for this version. Decoded events do not share a Connection.
func Decode(structured []byte) (Event, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(structured, &members); err != nil {
		return Event{}, fmt.Errorf("decode event: %w", err)
	}
	var m message
	for a, name := range attributeNames {
		raw, ok := members[name]
		if !ok || string(raw) == "null" {
			continue
		}
		if attribute(a) == attrSynthetic && (string(raw) == "true" || string(raw) == "false") {
			m.attributes[a] = string(raw)
			continue
		}
		if err := json.Unmarshal(raw, &m.attributes[a]); err != nil {
			return Event{}, fmt.Errorf("decode event: attribute %s: %w", name, err)
		}
	}
	m.data = members["data"]
	return m.decode()
}

// DecodeBinary reads an event in binary mode, by the rules of [Decode]. header returns
// the value of the attribute with that name, or "" if the message has none. The name is
// without the transport's prefix ("id" for the header ce_id). data is the body.
func DecodeBinary(header func(name string) string, data []byte) (Event, error) {
	m := message{data: data}
	for a, name := range attributeNames {
		m.attributes[a] = header(name)
	}
	return m.decode()
}

// message is an event in any mode: its attributes in their canonical string form, "" for
// one that is absent, and its data.
type message struct {
	attributes [attributeCount]string
	data       []byte
}

func (m *message) decode() (Event, error) {
	e, err := m.event()
	if err != nil {
		return Event{}, fmt.Errorf("decode event: %w", err)
	}
	return e, nil
}

func (m *message) event() (Event, error) {
	if err := m.checkForm(); err != nil {
		return Event{}, err
	}
	kind, eventToken, err := parseType(m.attributes[attrType])
	if err != nil {
		return Event{}, err
	}
	e := Event{Observation: Observation{Kind: kind, Connection: &Connection{Source: m.attributes[attrSource]}}}
	if err := m.decodeStamp(&e); err != nil {
		return Event{}, err
	}
	if err := m.decodeObservation(&e.Observation); err != nil {
		return Event{}, err
	}
	if err := decodeData(m.data, &e.Observation); err != nil {
		return Event{}, fmt.Errorf("data: %w", err)
	}
	if kind == KindState {
		if e.State, err = decodeState(m.data); err != nil {
			return Event{}, fmt.Errorf("data: %w", err)
		}
	}
	if err := m.checkAgreement(&e, eventToken); err != nil {
		return Event{}, err
	}
	return e, nil
}

// checkForm checks the attributes that may have only one value or form.
func (m *message) checkForm() error {
	if v := m.attributes[attrSpecVersion]; v != SpecVersion {
		return attributeError(attrSpecVersion, "%.20q, want %q", v, SpecVersion)
	}
	mediaType, _, _ := strings.Cut(m.attributes[attrDataContentType], ";")
	if !strings.EqualFold(strings.TrimSpace(mediaType), ContentTypeData) {
		return attributeError(attrDataContentType, "%.60q, want %q", mediaType, ContentTypeData)
	}
	if v := m.attributes[attrSource]; v == "" || v != CleanAttribute(v) {
		return attributeError(attrSource, "%.100q, want printable ASCII without space, quote, percent and backslash", v)
	}
	return nil
}

// decodeStamp reads the id and the counters.
func (m *message) decodeStamp(e *Event) error {
	var err error
	if e.Epoch, e.Sequence, err = ParseEventID(m.attributes[attrID]); err != nil {
		return err
	}
	if v := m.attributes[attrEpoch]; v != e.Epoch {
		return attributeError(attrEpoch, "%.20q differs from that of the id, %s", v, e.Epoch)
	}
	sequence, err := parseCounter(m.attributes[attrSequence])
	if err != nil {
		return attributeError(attrSequence, "%w", err)
	}
	if sequence != e.Sequence {
		return attributeError(attrSequence, "%d differs from that of the id, %d", sequence, e.Sequence)
	}
	if v := m.attributes[attrDomainSequence]; v != "" {
		if e.DomainSequence, err = parseCounter(v); err != nil {
			return attributeError(attrDomainSequence, "%w", err)
		}
	}
	return nil
}

// decodeObservation reads the attributes that the data does not repeat.
func (m *message) decodeObservation(o *Observation) error {
	var err error
	if o.Received, err = parseTime(m.attributes[attrTime]); err != nil {
		return attributeError(attrTime, "%w", err)
	}
	if v := m.attributes[attrUnobservedSince]; v != "" {
		if o.UnobservedSince, err = parseTime(v); err != nil {
			return attributeError(attrUnobservedSince, "%w", err)
		}
	}
	if v := m.attributes[attrOccurred]; v != "" {
		if o.Occurred, err = parseTime(v); err != nil {
			return attributeError(attrOccurred, "%w", err)
		}
	}
	switch v := m.attributes[attrSynthetic]; v {
	case "", "false":
	case "true":
		o.Synthetic = true
	default:
		return attributeError(attrSynthetic, "%.20q, want true or false", v)
	}
	return nil
}

// checkAgreement compares the attributes that the data repeats with the data.
func (m *message) checkAgreement(e *Event, eventToken string) error {
	for _, a := range []attribute{attrSubject, attrPartitionKey, attrConnection} {
		v := m.attributes[a]
		if v == "" && a == attrPartitionKey {
			continue // some transports keep it as the message's key only
		}
		if want := e.value(a); v != want {
			return attributeError(a, "%.60q differs from that of the data, %.60q", v, want)
		}
	}
	row := e.Kind.row()
	if row == nil || row.events == nil {
		return nil
	}
	n := e.Observation.Event
	if !tokenAgrees(eventToken, eventName(row.events, n), n) {
		return attributeError(attrType, "%.100q is not that of event number %d", m.attributes[attrType], n)
	}
	if v := m.attributes[attrDetail]; !tokenAgrees(v, detailName(row.events, n, e.Detail), e.Detail) {
		return attributeError(attrDetail, "%.60q is not that of detail number %d", v, e.Detail)
	}
	return nil
}

// tokenAgrees reports whether token may be the name of a number that this version calls
// name. An older writer may have had no name for the number, and a newer one may have
// one.
func tokenAgrees(token, name string, number int32) bool {
	if n, ok := parseUnknown(token); ok {
		return n == number
	}
	return token == name || (name == unknown && token != "")
}

// decodeData reads what every kind has in its data, and then the kind's own.
func decodeData(data []byte, o *Observation) error {
	var d struct {
		Connection *struct {
			Name     string `json:"name"`
			URI      string `json:"uri"`
			Hostname string `json:"hostname"`
		} `json:"connection"`
		EventCode  *int32 `json:"eventCode"`
		DetailCode *int32 `json:"detailCode"`
		dataObjects
	}
	if len(data) == 0 {
		return errors.New("missing")
	}
	if err := json.Unmarshal(data, &d); err != nil {
		return err
	}
	if d.Connection == nil {
		return errors.New("no connection")
	}
	o.Connection.Name, o.Connection.URI, o.Connection.Hostname = d.Connection.Name, d.Connection.URI, d.Connection.Hostname
	if err := d.fill(&o.Object, o.Kind.Family()); err != nil {
		return err
	}
	row := o.Kind.row()
	if row == nil {
		var err error
		o.Payload, err = payloadOf(data)
		return err
	}
	if row.events != nil {
		if d.EventCode == nil || d.DetailCode == nil {
			return errors.New("no eventCode or no detailCode")
		}
		o.Event, o.Detail = *d.EventCode, *d.DetailCode
	}
	if row.decodeFields != nil {
		return row.decodeFields(data, o)
	}
	return nil
}

// dataObjects are the members that name the object, one for each family.
type dataObjects struct {
	Domain      *dataObject `json:"domain"`
	Network     *dataObject `json:"network"`
	StoragePool *dataObject `json:"storagePool"`
	NodeDevice  *dataObject `json:"nodeDevice"`
	Secret      *dataObject `json:"secret"`
}

type dataObject struct {
	UUID UUID   `json:"uuid"`
	Name string `json:"name"`
	ID   int32  `json:"id"`
}

// fill sets an object of the kind's family. An event of a domain must name it; of a later
// family nothing is known.
func (d *dataObjects) fill(o *Object, f Family) error {
	byFamily := [...]*dataObject{
		FamilyDomain: d.Domain, FamilyNetwork: d.Network, FamilyStoragePool: d.StoragePool,
		FamilyNodeDevice: d.NodeDevice, FamilySecret: d.Secret, FamilyConnection: nil,
	}
	if int(f) >= len(byFamily) || f == FamilyConnection {
		return nil
	}
	from := byFamily[f]
	if from == nil {
		return fmt.Errorf("no %s", families[f].member)
	}
	*o = Object{Family: f, UUID: from.UUID, Name: from.Name, ID: from.ID}
	return nil
}

// payloadOf returns the members of data that are a kind's own, in their order, without
// the white space between them.
func payloadOf(data []byte) (string, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	if _, err := dec.Token(); err != nil {
		return "", err
	}
	var payload bytes.Buffer
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return "", err
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return "", err
		}
		text, ok := name.(string)
		if !ok || sharedMembers[text] {
			continue
		}
		if payload.Len() > 0 {
			payload.WriteByte(',')
		}
		payload.Write(append(appendString(nil, text), ':'))
		if err := json.Compact(&payload, value); err != nil {
			return "", err
		}
	}
	return payload.String(), nil
}

// sharedMembers are the members of data that are no kind's own.
var sharedMembers = map[string]bool{
	"connection": true, "domain": true, "network": true, "storagePool": true, "nodeDevice": true, "secret": true,
}

// decodeGap reads the members of [KindGap].
func decodeGap(data []byte, o *Observation) error {
	var d struct {
		Reason GapReason `json:"reason"`
		Lost   uint64    `json:"lost"`
		Since  string    `json:"since"`
		Until  string    `json:"until"`
	}
	if err := json.Unmarshal(data, &d); err != nil {
		return err
	}
	if d.Reason == "" {
		return errors.New("no reason")
	}
	since, err := parseTime(d.Since)
	if err != nil {
		return fmt.Errorf("since: %w", err)
	}
	if !since.Equal(o.UnobservedSince) {
		return fmt.Errorf("since: %.60q differs from the attribute %s", d.Since, AttrUnobservedSince)
	}
	until, err := parseTime(d.Until)
	if err != nil {
		return fmt.Errorf("until: %w", err)
	}
	o.Gap = &Gap{Reason: d.Reason, Lost: d.Lost, Until: until}
	return nil
}

func attributeError(a attribute, format string, args ...any) error {
	return fmt.Errorf("attribute "+attributeNames[a]+": "+format, args...)
}

// parseCounter is the reverse of appendCounter.
func parseCounter(s string) (uint64, error) {
	v, err := strconv.ParseUint(s, 10, 64)
	if err != nil || len(s) != 20 {
		return 0, fmt.Errorf("%.40q, want a number of 20 digits", s)
	}
	return v, nil
}

// parseTime reads any RFC 3339 time that appendTime can write.
func parseTime(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%.60q, want a time as in RFC 3339", s)
	}
	t = t.UTC()
	if y := t.Year(); y < 0 || y > 9999 {
		return time.Time{}, fmt.Errorf("%.60q, want a year from 0 to 9999", s)
	}
	return t, nil
}
