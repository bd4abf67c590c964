package bridge

import (
	"encoding/binary"

	"github.com/virtcast/virtcast/bridge/domains"
	"github.com/virtcast/virtcast/bridge/value"
	"github.com/virtcast/virtcast/schema"
)

// source is what the stamper keeps of one source of events.
type source struct {
	name     string
	sequence uint64
	// epoch is that of the source and of who observes it: a new source takes the
	// journal's.
	epoch string
	// connection is the last one that the source was seen by; nil if a value of an
	// earlier version has none.
	connection *schema.Connection
	objects    *domains.Source
	batch      uint64 // the batch that changed it last
}

// A source's value in the journal begins with sourceMark and its version, and consists of
// sections. An earlier form, which is still read, began with the sequence, which is never
// 0:
//
//	uvarint sequence, and perhaps the strings name, URI, host name
const (
	sourceMark = 0
	sourceV1   = 1
)

// The sections of a source's value.
const (
	// sourceStamps has the sequence as a uvarint, and the epoch, which fills the rest.
	sourceStamps = 1
	// sourceConnection has the strings name, URI and host name of the connection.
	sourceConnection = 2
)

func (s *source) append(dst []byte) []byte {
	dst = append(dst, sourceMark, sourceV1)
	dst = value.Section(dst, sourceStamps, func(dst []byte) []byte {
		return append(binary.AppendUvarint(dst, s.sequence), s.epoch...)
	})
	if c := s.connection; c != nil {
		dst = value.Section(dst, sourceConnection, func(dst []byte) []byte {
			for _, text := range [...]string{c.Name, c.URI, c.Hostname} {
				dst = value.AppendString(dst, text[:min(len(text), maxText)])
			}
			return dst
		})
	}
	return dst
}

// maxText bounds a text in a value; the drivers bound texts far below.
const maxText = 4 << 10

// parse reads what append made, or an earlier version.
func (s *source) parse(b []byte) error {
	r := value.Reader{Rest: b}
	if len(b) == 0 || b[0] != sourceMark {
		s.sequence = r.Uvarint()
		if len(r.Rest) > 0 {
			s.parseConnection(&r)
		}
		if len(r.Rest) > 0 {
			r.Fail(value.ErrFormat)
		}
		return r.Err()
	}
	r.Byte()
	if version := r.Byte(); version > sourceV1 {
		r.Fail(value.ErrNewer)
	}
	r.Sections(func(kind byte, content *value.Reader) bool {
		switch kind {
		case sourceStamps:
			s.sequence = content.Uvarint()
			s.epoch = string(content.Rest)
			if _, err := schema.ParseEpoch(s.epoch); err != nil {
				content.Fail(value.ErrFormat)
			}
		case sourceConnection:
			s.parseConnection(content)
		default:
			return false
		}
		return true
	})
	if s.sequence == 0 {
		r.Fail(value.ErrFormat)
	}
	return r.Err()
}

func (s *source) parseConnection(r *value.Reader) {
	s.connection = &schema.Connection{Name: r.String(), URI: r.String(), Hostname: r.String(), Source: s.name}
}
