package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/virtcast/virtcast/schema"
)

// message is one message of the stream, decoded by the CloudEvents SDK.
type message struct {
	event.Event
	subject string
	msgID   string
	// what and detail are the names of the event in the data, "started" and "booted".
	what, detail string
}

// decode decodes a message of NATS in either content mode and validates it.
func decode(raw *jetstream.RawStreamMsg) (message, error) {
	attributes := map[string]string{}
	for header, values := range raw.Header {
		if name, ok := strings.CutPrefix(header, "ce-"); ok {
			attributes[name] = values[0]
		}
	}
	m, err := newMessage(raw.Header.Get("Content-Type"), attributes, raw.Data)
	m.subject, m.msgID = raw.Subject, raw.Header.Get(nats.MsgIdHdr)
	return m, err
}

// decodeRecord decodes a record of Kafka in either content mode and validates it.
func decodeRecord(r *kgo.Record) (message, error) {
	contentType, attributes := "", map[string]string{}
	for _, h := range r.Headers {
		if h.Key == "content-type" {
			contentType = string(h.Value)
		}
		if name, ok := strings.CutPrefix(h.Key, "ce_"); ok {
			attributes[name] = string(h.Value)
		}
	}
	attributes["datacontenttype"] = contentType
	return newMessage(contentType, attributes, r.Value)
}

// newMessage makes a message of an event from either bus, and validates it.
func newMessage(contentType string, attributes map[string]string, data []byte) (message, error) {
	var m message
	var err error
	if strings.HasPrefix(contentType, event.ApplicationCloudEventsJSON) {
		err = json.Unmarshal(data, &m.Event)
	} else {
		m.Event, err = fromBinary(attributes, data)
	}
	if err != nil {
		return m, fmt.Errorf("decode %s: %w", data, err)
	}
	if err := m.Validate(); err != nil {
		return m, fmt.Errorf("validate %s: %w", data, err)
	}
	var names struct{ Event, Detail string }
	if err := m.DataAs(&names); err != nil {
		return m, fmt.Errorf("data of %s: %w", m.ID(), err)
	}
	m.what, m.detail = names.Event, names.Detail
	if err := validateData(&m.Event); err != nil {
		return m, fmt.Errorf("data of %s: %w", m.ID(), err)
	}
	return m, nil
}

// fromBinary builds the event from the attributes and the data of binary mode.
func fromBinary(attributes map[string]string, data []byte) (event.Event, error) {
	e := event.New(attributes["specversion"])
	for name, value := range attributes {
		switch name {
		case "specversion":
		case "id":
			e.SetID(value)
		case "source":
			e.SetSource(value)
		case "type":
			e.SetType(value)
		case "subject":
			e.SetSubject(value)
		case "dataschema":
			e.SetDataSchema(value)
		case "time":
			t, err := types.ParseTime(value)
			if err != nil {
				return e, err
			}
			e.SetTime(t)
		case "datacontenttype":
			e.SetDataContentType(value)
		default:
			e.SetExtension(name, value)
		}
	}
	e.DataEncoded = data
	return e, nil // what was refused is reported by Validate
}

// validateData holds the data to the JSON Schema that its dataschema attribute names.
func validateData(e *event.Event) error {
	document, ok := schema.JSONSchema(e.DataSchema())
	if !ok {
		return fmt.Errorf("dataschema %q has no JSON Schema", e.DataSchema())
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		return err
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource(e.DataSchema(), doc); err != nil {
		return err
	}
	compiled, err := compiler.Compile(e.DataSchema())
	if err != nil {
		return err
	}
	data, err := jsonschema.UnmarshalJSON(bytes.NewReader(e.Data()))
	if err != nil {
		return err
	}
	return compiled.Validate(data)
}
