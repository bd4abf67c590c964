package kafka

import (
	"github.com/virtcast/virtcast/schema"
	"github.com/virtcast/virtcast/sinks/kafka/producer"
)

// Headers of the Kafka binding of CloudEvents. In binary mode, each attribute is a header
// with the prefix, except for datacontenttype, which is content-type.
const (
	contentTypeHeader   = "content-type"
	attributePrefix     = "ce_"
	dataContentTypeName = "datacontenttype"
)

// encoder makes records out of events. The record is one reused memory, valid until the
// next call. Not for concurrent use.
type encoder struct {
	binary bool

	rec     producer.Record
	key     []byte
	payload []byte
	scratch []byte
	text    []byte            // all header values, one after the other
	ends    []int             // where each value ends in text
	names   map[string]string // attribute name to header name
	// last has the headers of the last record, in order: nearly always, the next record
	// has the same.
	last  []headerName
	visit func(name string, value []byte)
}

// headerName is the name of an attribute and of its header.
type headerName struct{ attribute, header string }

func newEncoder(content Content) *encoder {
	c := &encoder{
		binary: content != ContentStructured,
		names:  map[string]string{dataContentTypeName: contentTypeHeader},
	}
	c.visit = c.attribute
	return c
}

// encode returns the record of an event, without a topic.
func (c *encoder) encode(e *schema.Event) *producer.Record {
	c.text, c.ends, c.rec.Headers = c.text[:0], c.ends[:0], c.rec.Headers[:0]
	if c.binary {
		c.scratch = schema.VisitAttributes(e, c.scratch, c.visit)
		c.payload = schema.AppendData(c.payload[:0], e)
	} else {
		c.text = append(c.text, schema.ContentTypeStructured...)
		c.header(contentTypeHeader)
		c.payload = schema.AppendJSON(c.payload[:0], e)
	}
	return c.finish(e, c.payload)
}

// encodeTombstone returns a record without a value. Its headers are the event's
// attributes: a reader learns from them which event ended the domain.
func (c *encoder) encodeTombstone(e *schema.Event) *producer.Record {
	c.text, c.ends, c.rec.Headers = c.text[:0], c.ends[:0], c.rec.Headers[:0]
	c.scratch = schema.VisitAttributes(e, c.scratch, c.visit)
	return c.finish(e, nil)
}

// finish fills in the fields that all records have.
func (c *encoder) finish(e *schema.Event, value []byte) *producer.Record {
	start := 0
	for i, end := range c.ends { // Only now: text may have moved.
		c.rec.Headers[i].Value = c.text[start:end]
		start = end
	}
	c.key = appendKey(c.key[:0], e)
	c.rec.Key, c.rec.Value, c.rec.Time = c.key, value, e.Received.UnixMilli()
	return &c.rec
}

// attribute adds a CloudEvents attribute as a header.
func (c *encoder) attribute(name string, value []byte) {
	c.text = append(c.text, value...)
	c.header(c.nameOf(name))
}

// nameOf returns the name of the header of the next attribute. Looking each up in the map
// would make encode a tenth slower.
func (c *encoder) nameOf(attribute string) string {
	next := len(c.ends)
	if next < len(c.last) && c.last[next].attribute == attribute {
		return c.last[next].header
	}
	h, ok := c.names[attribute]
	if !ok {
		h = attributePrefix + attribute
		c.names[attribute] = h
	}
	c.last = append(c.last[:next], headerName{attribute, h})
	return h
}

// header ends the header value that was appended to c.text.
func (c *encoder) header(name string) {
	c.rec.Headers = append(c.rec.Headers, producer.Header{Name: name})
	c.ends = append(c.ends, len(c.text))
}

// appendKey appends an event's key, which is its partitionkey. Most objects have a UUID,
// whose form needs no memory.
func appendKey(dst []byte, e *schema.Event) []byte {
	if o := &e.Object; !o.IsConnection() && o.Family != schema.FamilyNodeDevice {
		return o.UUID.AppendText36(dst)
	}
	return append(dst, e.PartitionKey()...)
}
