package schema

import (
	"encoding/hex"
	"fmt"
)

// UUID identifies a domain, network, storage pool or secret. It is the only identity of a
// domain that survives rename, restart, undefine and migration.
type UUID [16]byte

// IsZero reports whether u is the nil UUID. Registrations cannot name it.
func (u UUID) IsZero() bool { return u == UUID{} }

// String returns the 36-character lower-case form of RFC 9562.
func (u UUID) String() string { return string(u.AppendText36(make([]byte, 0, 36))) }

// AppendText36 appends the 36-character lower-case form to dst. It does not allocate if
// dst has room.
func (u UUID) AppendText36(dst []byte) []byte {
	dst = hex.AppendEncode(dst, u[0:4])
	dst = append(dst, '-')
	dst = hex.AppendEncode(dst, u[4:6])
	dst = append(dst, '-')
	dst = hex.AppendEncode(dst, u[6:8])
	dst = append(dst, '-')
	dst = hex.AppendEncode(dst, u[8:10])
	dst = append(dst, '-')
	return hex.AppendEncode(dst, u[10:16])
}

// AppendText implements encoding.TextAppender.
func (u UUID) AppendText(dst []byte) ([]byte, error) { return u.AppendText36(dst), nil }

// MarshalText implements encoding.TextMarshaler.
func (u UUID) MarshalText() ([]byte, error) { return u.AppendText36(nil), nil }

// UnmarshalText implements encoding.TextUnmarshaler with [ParseUUID]'s rules.
func (u *UUID) UnmarshalText(text []byte) error {
	parsed, err := ParseUUID(string(text))
	if err != nil {
		return err
	}
	*u = parsed
	return nil
}

// ParseUUID parses the 36-character form, or the 32-digit form without hyphens,
// in either case, as libvirt's virUUIDParse accepts them.
func ParseUUID(s string) (UUID, error) {
	var u UUID
	digits := s
	if len(s) == 36 {
		if s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
			return u, fmt.Errorf("uuid %q: hyphens belong after 8, 12, 16 and 20 digits", s)
		}
		digits = s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:]
	}
	if len(digits) != 32 {
		return u, fmt.Errorf("uuid %q: want 32 hexadecimal digits, as in 6695eb01-f6a4-8304-79aa-97f2502e193f", s)
	}
	if _, err := hex.Decode(u[:], []byte(digits)); err != nil {
		return u, fmt.Errorf("uuid %q: %w", s, err)
	}
	return u, nil
}
