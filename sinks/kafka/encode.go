package kafka

import (
	"github.com/virtcast/virtcast/schema"
)

// Headers of the Kafka binding of CloudEvents. In binary mode, each attribute is a header with the
// prefix, but for datacontenttype, which is content-type.
const (
	contentTypeHeader   = "content-type"
	attributePrefix     = "ce_"
	dataContentTypeName = "datacontenttype"
)

// encoder makes records out of events. The record is one reused memory, valid until the next call. Not for
// concurrent use.
type encoder struct {
	binary bool

	rec     record
	key     []byte
	payload []byte
	scratch []byte
	text    []byte            // all header values, one after the other
	ends    []int             // where each value ends in text
	names   map[string]string // attribute name to header name
	order   []headerName      // those of the last record, in order: the next one's are the same, nearly always
	visit   func(name string, value []byte)
}

// headerName is the name of an attribute and of its header.
type headerName struct{ attribute, header string }

func newEncoder(content Content) *encoder {
	c := &encoder{binary: content != ContentStructured, names: map[string]string{dataContentTypeName: contentTypeHeader}}
	c.visit = c.attribute
	return c
}

// encode returns the record of an event, without a topic.
func (c *encoder) encode(e *schema.Event) *record {
	c.text, c.ends, c.rec.headers = c.text[:0], c.ends[:0], c.rec.headers[:0]
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

// encodeTombstone returns a record without a value, whose headers are the event's attributes: which domain is gone since which
// event, for those who look at more than the key.
func (c *encoder) encodeTombstone(e *schema.Event) *record {
	c.text, c.ends, c.rec.headers = c.text[:0], c.ends[:0], c.rec.headers[:0]
	c.scratch = schema.VisitAttributes(e, c.scratch, c.visit)
	return c.finish(e, nil)
}

// finish fills in what all records have.
func (c *encoder) finish(e *schema.Event, value []byte) *record {
	start := 0
	for i, end := range c.ends { // Only now: text may have moved.
		c.rec.headers[i].value = c.text[start:end]
		start = end
	}
	c.key = appendKey(c.key[:0], e)
	c.rec.key, c.rec.value, c.rec.time = c.key, value, e.Received.UnixMilli()
	return &c.rec
}

// attribute adds a CloudEvents attribute as a header.
func (c *encoder) attribute(name string, value []byte) {
	c.text = append(c.text, value...)
	c.header(c.nameOf(name))
}

// nameOf returns the name of the header of the next attribute. Looking each up in the map would make encode a tenth slower.
func (c *encoder) nameOf(attribute string) string {
	next := len(c.ends)
	if next < len(c.order) && c.order[next].attribute == attribute {
		return c.order[next].header
	}
	h, ok := c.names[attribute]
	if !ok {
		h = attributePrefix + attribute
		c.names[attribute] = h
	}
	c.order = append(c.order[:next], headerName{attribute, h})
	return h
}

// header ends the header value that was appended to c.text.
func (c *encoder) header(name string) {
	c.rec.headers = append(c.rec.headers, header{name: name})
	c.ends = append(c.ends, len(c.text))
}

// appendKey appends an event's key, which is its partitionkey: the domain's UUID, or the connection's
// name for an event about no domain.
func appendKey(dst []byte, e *schema.Event) []byte {
	if e.Kind.Family() == schema.FamilyDomain {
		return e.Object.UUID.AppendText36(dst)
	}
	return append(dst, e.PartitionKey()...)
}
