package client

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"

	"github.com/segmentio/kafka-go/protocol"
)

// maxAnswer is the size of the largest answer that is read, in bytes. The metadata of
// 200,000 partitions take a third of it.
const maxAnswer = 32 << 20

// keptAnswer is how much memory for answers a connection keeps between requests.
const keptAnswer = 256 << 10

// errFrame is in the error when an answer is not what was asked for. The connection
// cannot be used any more.
var errFrame = errors.New("damaged answer")

// frames reads the answers of one connection. kafka-go's decoder believes every length
// that it reads and allocates for it: a broken broker, or a web server on the port, would
// make it allocate for billions of elements that never come. So the length of an answer
// is bounded, memory grows with the bytes that have arrived, and every length in the
// answer is checked before kafka-go decodes it. docs/adr/0004-kafka-producer.md has the
// alternative. Not for concurrent use.
type frames struct {
	in     *bufio.Reader
	buffer bytes.Buffer
	shapes map[protocol.ApiKey]*shape
}

func newFrames(r io.Reader) *frames {
	return &frames{in: bufio.NewReader(r), shapes: map[protocol.ApiKey]*shape{}}
}

// read returns the next answer, which must be the one to a request. It blocks as reads of
// the connection do.
func (f *frames) read(key protocol.ApiKey, version int16, correlation int32, answer protocol.Message) (protocol.Message, error) {
	var head [8]byte
	if _, err := io.ReadFull(f.in, head[:]); err != nil {
		return nil, err
	}
	size, id := int32(binary.BigEndian.Uint32(head[:])), int32(binary.BigEndian.Uint32(head[4:]))
	switch {
	case size < 4 || size > maxAnswer:
		return nil, fmt.Errorf("%w: it begins with %q, which is no length from 4 to %d", errFrame, head[:4], maxAnswer)
	case id != correlation:
		return nil, fmt.Errorf("%w: it is to request %d, not to %d", errFrame, id, correlation)
	}
	if f.buffer.Cap() > keptAnswer {
		f.buffer = bytes.Buffer{}
	}
	f.buffer.Reset()
	f.buffer.Write(head[:])
	if _, err := io.CopyN(&f.buffer, f.in, int64(size)-4); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	expected, err := f.shape(key, version, answer)
	if err != nil {
		return nil, err
	}
	if _, err := expected.skip(f.buffer.Bytes()[len(head):]); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", errFrame, key, err)
	}
	_, m, err := protocol.ReadResponse(&f.buffer, key, version)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", errFrame, key, err)
	}
	return m, nil
}

// shape returns the shape of the answers to a request. The version stays the same for as
// long as the connection lives.
func (f *frames) shape(key protocol.ApiKey, version int16, answer protocol.Message) (*shape, error) {
	if s := f.shapes[key]; s != nil {
		return s, nil
	}
	s, err := shapeOf(reflect.TypeOf(answer).Elem(), version)
	if err != nil {
		return nil, fmt.Errorf("%s version %d: %w", key, version, err)
	}
	f.shapes[key] = s
	return s, nil
}

// shape describes where the lengths are in one version of a message. kafka-go's decoder
// follows the same structure.
type shape struct {
	kind shapeKind
	size int      // of a fixed
	of   []*shape // the members of a group; the element of a list
}

type shapeKind uint8

const (
	fixed shapeKind = iota // size bytes
	text                   // a length of 2 bytes, and as many bytes
	blob                   // a length of 4 bytes, and as many bytes
	list                   // a length of 4 bytes, and as many elements
	group                  // one member after the other
)

// errShort is returned for a length that is larger than the rest of the message.
var errShort = errors.New("a length in it is too large")

// skip returns the bytes behind a value of this shape at the beginning of b.
func (s *shape) skip(b []byte) ([]byte, error) {
	length := s.size
	switch s.kind {
	case fixed:
	case text:
		if len(b) < 2 {
			return nil, errShort
		}
		length, b = int(int16(binary.BigEndian.Uint16(b))), b[2:]
	case blob, list:
		if len(b) < 4 {
			return nil, errShort
		}
		length, b = int(int32(binary.BigEndian.Uint32(b))), b[4:]
	case group:
		return skipAll(s.of, b)
	}
	if length > len(b) { // An element takes at least one byte.
		return nil, errShort
	}
	if s.kind != list {
		return b[max(length, 0):], nil // A negative length stands for null.
	}
	for range length {
		var err error
		if b, err = s.of[0].skip(b); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func skipAll(members []*shape, b []byte) ([]byte, error) {
	for _, m := range members {
		var err error
		if b, err = m.skip(b); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// errFlexible is returned for the versions of a message with tagged fields. They are not
// used: see newestVersion.
var errFlexible = errors.New("a version with tagged fields")

// shapeOf returns the shape of a version of one of kafka-go's messages, or of a part of
// it. As kafka-go does, it reads the tags of the struct's fields:
// kafka:"min=v1,max=v3,nullable".
func shapeOf(t reflect.Type, version int16) (*shape, error) {
	switch t.Kind() {
	case reflect.Bool, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return &shape{kind: fixed, size: int(t.Size())}, nil
	case reflect.String:
		return &shape{kind: text}, nil
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return &shape{kind: blob}, nil
		}
		element, err := shapeOf(t.Elem(), version)
		return &shape{kind: list, of: []*shape{element}}, err
	case reflect.Struct:
		s := &shape{kind: group}
		for i := range t.NumField() {
			field := t.Field(i)
			there, err := inVersion(field.Tag.Get("kafka"), version)
			if err != nil {
				return nil, err
			}
			if !there {
				continue
			}
			member, err := shapeOf(field.Type, version)
			if err != nil {
				return nil, err
			}
			s.of = append(s.of, member)
		}
		return s, nil
	default:
		return nil, fmt.Errorf("a field of type %s", t)
	}
}

// inVersion reports whether a field with this tag is in a version of its message.
func inVersion(tag string, version int16) (bool, error) {
	for alternative := range strings.SplitSeq(tag, "|") {
		first, last, flexible := -1, -1, false
		for option := range strings.SplitSeq(alternative, ",") {
			name, value, _ := strings.Cut(option, "=v")
			n, err := strconv.Atoi(value)
			switch {
			case name == "min" && err == nil:
				first = n
			case name == "max" && err == nil:
				last = n
			case strings.HasPrefix(option, "tag"), option == "compact":
				flexible = true
			}
		}
		if first <= int(version) && int(version) <= last {
			if flexible {
				return false, errFlexible
			}
			return true, nil
		}
	}
	return false, nil
}
