package schema

import (
	"fmt"
	"net/url"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
)

// CloudEvent returns e as an event of the CloudEvents SDK. It equals, attribute for
// attribute, what the SDK reads from e in structured mode. It fails where the SDK's URI
// type would change the source.
func (e *Event) CloudEvent() (event.Event, error) {
	source, err := url.Parse(e.Source())
	if err != nil {
		return event.Event{}, fmt.Errorf("source of event %s: %w", e.ID(), err)
	}
	if source.String() != e.Source() || e.Source() == "" {
		return event.Event{}, fmt.Errorf("source of event %s: %q is not a canonical URI", e.ID(), e.Source())
	}
	context := &event.EventContextV1{
		ID:         e.ID(),
		Source:     types.URIRef{URL: *source},
		Type:       e.Type(),
		Extensions: make(map[string]any),
	}
	for a := attrSubject; a < attributeCount; a++ {
		value := e.value(a)
		if value == "" {
			continue
		}
		switch a {
		case attrSubject:
			context.Subject = &value
		case attrTime:
			context.Time, err = types.ParseTimestamp(value)
		case attrDataSchema:
			context.DataSchema = types.ParseURI(value)
		case attrSynthetic:
			context.Extensions[attributeNames[a]] = true
		default:
			context.Extensions[attributeNames[a]] = value
		}
		if err != nil {
			return event.Event{}, fmt.Errorf("attribute %s of event %s: %w", attributeNames[a], e.ID(), err)
		}
	}
	contentType := ContentTypeData
	context.DataContentType = &contentType
	return event.Event{Context: context, DataEncoded: AppendData(nil, e)}, nil
}

// FromCloudEvent decodes an event that the CloudEvents SDK received, in either mode. The
// rules are those of [Decode].
func FromCloudEvent(ce event.Event) (Event, error) {
	if err := ce.Validate(); err != nil {
		return Event{}, fmt.Errorf("decode event: %w", err)
	}
	m := message{data: ce.Data()}
	m.attributes[attrSpecVersion] = ce.SpecVersion()
	m.attributes[attrDataContentType] = ce.DataContentType()
	m.attributes[attrID] = ce.ID()
	m.attributes[attrSource] = ce.Source()
	m.attributes[attrType] = ce.Type()
	m.attributes[attrSubject] = ce.Subject()
	m.attributes[attrTime] = types.FormatTime(ce.Time())
	extensions := ce.Extensions()
	for a := attrPartitionKey; a < attributeCount; a++ {
		value, ok := extensions[attributeNames[a]]
		if !ok || value == nil {
			continue
		}
		var err error
		if m.attributes[a], err = types.Format(value); err != nil {
			return Event{}, fmt.Errorf("decode event: attribute %s: %w", attributeNames[a], err)
		}
	}
	return m.decode()
}
