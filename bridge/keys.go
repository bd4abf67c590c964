package bridge

import (
	"bytes"
	"errors"

	"github.com/virtcast/virtcast/schema"
)

// The first byte of a key in the journal says what its value is about. A source never
// contains a NUL.
const (
	keySource   = 's' // 's' source: see source.append
	keyDomain   = 'd' // 'd' source NUL uuid: package domains' value of a domain
	keyObject   = 'o' // 'o' source NUL family uuid name: the same of another object
	keyPosition = 'p' // 'p' connection: see positions.put
)

var errKey = errors.New("unreadable key")

func appendObjectKey(dst []byte, source string, o schema.ObjectKey) []byte {
	kind := byte(keyObject)
	if o.Family == schema.FamilyDomain {
		kind = keyDomain
	}
	dst = append(append(append(dst, kind), source...), 0)
	if kind == keyObject {
		dst = append(dst, byte(o.Family))
	}
	return append(append(dst, o.UUID[:]...), o.Name...)
}

// parseObjectKey reads what appendObjectKey made.
func parseObjectKey(key []byte) (source string, o schema.ObjectKey, err error) {
	name, rest, ok := bytes.Cut(key[1:], []byte{0})
	if key[0] == keyObject && len(rest) > 0 {
		o.Family, rest = schema.Family(rest[0]), rest[1:]
	}
	if !ok || len(rest) < len(o.UUID) || key[0] == keyDomain && len(rest) > len(o.UUID) {
		return "", o, errKey
	}
	o.UUID, o.Name = schema.UUID(rest[:len(o.UUID)]), string(rest[len(o.UUID):])
	return string(name), o, nil
}
