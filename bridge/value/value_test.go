package value

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"
)

func TestSections(t *testing.T) {
	long := strings.Repeat("x", 5000)
	b := Section(nil, 1, func(dst []byte) []byte { return AppendString(binary.AppendVarint(dst, -7), long) })
	b = Bytes(b, 2, []byte("later"))
	b = Section(b, 3, func(dst []byte) []byte { return binary.AppendUvarint(append(dst, 9), 1<<63) })
	var number int64
	var text string
	var one byte
	var large uint64
	r := Reader{Rest: b}
	r.Sections(func(kind byte, content *Reader) bool {
		switch kind {
		case 1:
			number, text = content.Varint(), content.String()
		case 3:
			one, large = content.Byte(), content.Uvarint()
		default:
			return false
		}
		return true
	})
	if r.Err() != nil || number != -7 || text != long || one != 9 || large != 1<<63 {
		t.Errorf("read %d, %d bytes, %d, %d; %v", number, len(text), one, large, r.Err())
	}
	ends := map[int]bool{3 + 1 + 2 + len(long): true, 3 + 1 + 2 + len(long) + 2 + 5: true}
	for n := 1; n < len(b); n++ {
		r := Reader{Rest: b[:n]}
		r.Sections(func(byte, *Reader) bool { return true })
		if (r.Err() == nil) != ends[n] {
			t.Errorf("the first %d of %d bytes: %v", n, len(b), r.Err())
		}
	}
}

func TestUnknownSections(t *testing.T) {
	for kind, want := range map[byte]error{100: nil, 101: ErrNewer} {
		r := Reader{Rest: Bytes(nil, kind, []byte("later"))}
		r.Sections(func(byte, *Reader) bool { return false })
		if !errors.Is(r.Err(), want) {
			t.Errorf("an unknown section of type %d: %v, want %v", kind, r.Err(), want)
		}
	}
}

// FuzzReader checks that no bytes make the reader panic, nor read beyond them.
func FuzzReader(f *testing.F) {
	f.Add(Bytes(nil, 1, []byte{200, 1, 2}))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := Reader{Rest: b}
		r.Sections(func(kind byte, content *Reader) bool {
			_, _, _, _, _ = content.Byte(), content.Uvarint(), content.Varint(), content.Int32(), content.String()
			return kind%3 > 0
		})
		if r.Err() == nil && len(r.Rest) > 0 {
			t.Errorf("%d bytes are left", len(r.Rest))
		}
	})
}
