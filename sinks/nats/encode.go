package nats

import (
	"crypto/sha256"
	"encoding/base64"
	"slices"

	natsgo "github.com/nats-io/nats.go"

	"github.com/virtcast/virtcast/schema"
)

// Headers that the sink sets. The NATS binding of CloudEvents tells structured from
// binary mode by the first.
const (
	contentTypeHeader = "Content-Type"
	messageIDHeader   = natsgo.MsgIdHdr
	streamHeader      = natsgo.ExpectedStreamHdr
	attributePrefix   = "ce-"
)

// maxSources bounds the cache of source hashes.
const maxSources = 4096

// encoder makes messages out of events. The message, its header and its payload are one
// reused memory, valid until the next call: the client library copies what it publishes.
type encoder struct {
	subject *subject
	binary  bool
	stream  string // the only one that may store the messages; "" in core mode
	states  bool   // events tell states, and that of a domain that is gone is a delete marker

	msg     natsgo.Msg
	payload []byte
	scratch []byte // subject, then one attribute
	text    []byte // all header values, one after the other
	ends    []int  // where each value ends in text
	names   []string
	named   []string          // the names that the header has
	values  []string          // the header's values: slices of one string
	headers map[string]string // attribute name to header name
	hashes  map[string]string // source to its hash
}

func newEncoder(s *subject, content Content, stream string) *encoder {
	return &encoder{
		subject: s, binary: content == ContentBinary, stream: stream,
		msg:     natsgo.Msg{Header: natsgo.Header{}},
		headers: map[string]string{}, hashes: map[string]string{},
	}
}

// encode returns the message of an event, without a reply subject.
func (c *encoder) encode(e *schema.Event) *natsgo.Msg {
	c.scratch = c.subject.appendTo(c.scratch[:0], e)
	c.msg.Subject, c.msg.Reply = string(c.scratch), ""
	c.text, c.ends, c.names = c.text[:0], c.ends[:0], c.names[:0]
	switch {
	case c.states && e.State.Gone:
		c.text = append(c.text, deleteMarker...)
		c.value(operationHeader)
		c.scratch = schema.VisitAttributes(e, c.scratch, c.attribute)
		c.payload = c.payload[:0]
	case c.binary:
		c.scratch = schema.VisitAttributes(e, c.scratch, c.attribute)
		c.payload = schema.AppendData(c.payload[:0], e)
	default:
		c.text = append(c.text, schema.ContentTypeStructured...)
		c.value(contentTypeHeader)
		c.payload = schema.AppendJSON(c.payload[:0], e)
	}
	if c.stream != "" {
		c.text = append(c.text, c.hash(e.Connection.Source)...)
		c.text = append(c.text, '-')
		c.text = append(c.text, e.ID()...)
		c.value(messageIDHeader)
		// Another stream that listens on the subject refuses the message.
		c.text = append(c.text, c.stream...)
		c.value(streamHeader)
	}
	c.setHeader()
	c.msg.Data = c.payload
	return &c.msg
}

// id returns the Nats-Msg-Id of an event.
func (c *encoder) id(e *schema.Event) string { return c.hash(e.Connection.Source) + "-" + e.ID() }

// attribute adds a CloudEvents attribute as a header. Attribute values are printable
// ASCII without space, quote and percent, so that the binding's percent-encoding is the
// identity.
func (c *encoder) attribute(name string, value []byte) {
	header, ok := c.headers[name]
	if !ok {
		header = attributePrefix + name
		c.headers[name] = header
	}
	c.text = append(c.text, value...)
	c.value(header)
}

// value ends the header value that was appended to c.text.
func (c *encoder) value(name string) {
	c.names = append(c.names, name)
	c.ends = append(c.ends, len(c.text))
}

// setHeader makes the header of the collected values, with one allocation for all of
// them. The header's values alias c.values, so that a message with the same names as the
// one before needs no new header.
func (c *encoder) setHeader() {
	if !slices.Equal(c.names, c.named) {
		c.named = append(c.named[:0], c.names...)
		c.values = make([]string, len(c.names))
		clear(c.msg.Header)
		for i, name := range c.names {
			c.msg.Header[name] = c.values[i : i+1 : i+1]
		}
	}
	text := string(c.text)
	start := 0
	for i, end := range c.ends {
		c.values[i] = text[start:end]
		start = end
	}
}

// hash returns 12 characters for a source: 72 bits, so that two sources never share ids.
func (c *encoder) hash(source string) string {
	if h, ok := c.hashes[source]; ok {
		return h
	}
	if len(c.hashes) >= maxSources {
		clear(c.hashes)
	}
	sum := sha256.Sum256([]byte(source))
	h := base64.RawURLEncoding.EncodeToString(sum[:9])
	c.hashes[source] = h
	return h
}

// size returns the sizes of the last message on the wire: its header block, and that with
// the payload.
func (c *encoder) size() (header, total int) {
	header = len("NATS/1.0\r\n\r\n") + len(c.text)
	for _, name := range c.names {
		header += len(name) + len(": \r\n")
	}
	return header, header + len(c.payload)
}
