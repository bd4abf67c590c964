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

// decode decodes a message in either content mode and validates it.
func decode(raw *jetstream.RawStreamMsg) (message, error) {
	m := message{subject: raw.Subject, msgID: raw.Header.Get(nats.MsgIdHdr)}
	var err error
	if strings.HasPrefix(raw.Header.Get("Content-Type"), event.ApplicationCloudEventsJSON) {
		err = json.Unmarshal(raw.Data, &m.Event)
	} else {
		m.Event, err = fromBinary(raw)
	}
	if err != nil {
		return m, fmt.Errorf("decode %s: %w", raw.Data, err)
	}
	if err := m.Validate(); err != nil {
		return m, fmt.Errorf("validate %s: %w", raw.Data, err)
	}
	var data struct{ Event, Detail string }
	if err := m.DataAs(&data); err != nil {
		return m, fmt.Errorf("data of %s: %w", m.ID(), err)
	}
	m.what, m.detail = data.Event, data.Detail
	if err := validateData(&m.Event); err != nil {
		return m, fmt.Errorf("data of %s: %w", m.ID(), err)
	}
	return m, nil
}

// fromBinary builds the event from the headers of the NATS binding's binary mode.
func fromBinary(raw *jetstream.RawStreamMsg) (event.Event, error) {
	e := event.New(raw.Header.Get("ce-specversion"))
	for header, values := range raw.Header {
		name, ok := strings.CutPrefix(header, "ce-")
		if !ok {
			continue
		}
		switch value := values[0]; name {
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
	if contentType := raw.Header.Get("Content-Type"); contentType != "" {
		e.SetDataContentType(contentType)
	}
	e.DataEncoded = raw.Data
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
