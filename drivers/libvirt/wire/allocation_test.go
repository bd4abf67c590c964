package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/virtcast/virtcast/schema"
)

// allocated returns how many bytes f allocates in all, freed ones included. Nothing else
// may run.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestFrameAllocations holds that the largest frame, which comes a TLS record at a time,
// costs a small multiple of its size, and not 2 GiB.
func TestFrameAllocations(t *testing.T) {
	const record = 16 << 10
	for _, size := range []int{64 << 10, 1 << 20, 5<<20 + 12, MaxFrame - minFrame} {
		stream := AppendFrame(nil, Header{Program: ProgramRemote, Type: TypeReply}, make([]byte, size))
		var payload []byte
		var err error
		got := allocated(func() { _, payload, err = NewReader(&records{stream, record}).Next() })
		if err != nil || len(payload) != size {
			t.Fatalf("payload of %d bytes, %v; want %d", len(payload), err, size)
		}
		if limit := uint64(3*len(stream) + 64<<10); got > limit {
			t.Errorf("a frame of %d bytes cost %d bytes of allocations, want at most %d", len(stream), got, limit)
		}
	}
}

// records is a stream that comes in records of a size. Unlike chunks it has no small
// bound.
type records struct {
	rest []byte
	size int
}

func (r *records) Read(b []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), r.size)], r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// TestPromisedLengthAllocations holds that a length word is not believed: what is
// allocated follows the bytes that came.
func TestPromisedLengthAllocations(t *testing.T) {
	for _, came := range []int{4, 5000, 100 << 10, 1 << 20} {
		stream := append(binary.BigEndian.AppendUint32(nil, MaxFrame), make([]byte, came-LengthSize)...)
		var err error
		got := allocated(func() { _, _, err = NewReader(&records{stream, 16 << 10}).Next() })
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("%d bytes: %v, want io.ErrUnexpectedEOF", came, err)
		}
		if limit := uint64(4*came + 16<<10); got > limit {
			t.Errorf("%d bytes of a frame of 32 MiB cost %d bytes of allocations, want at most %d", came, got, limit)
		}
	}
}

// TestReaderShrinksWhileBusy holds that a large frame's buffer is given back even where
// the stream never pauses.
func TestReaderShrinksWhileBusy(t *testing.T) {
	small := AppendFrame(nil, Header{Program: ProgramRemote}, make([]byte, 100))
	stream := AppendFrame(nil, Header{Program: ProgramRemote}, make([]byte, 1<<20))
	stream = append(stream, bytes.Repeat(small, 20_000)...)
	r := NewReader(&records{stream, 1000}) // pieces that end inside a frame
	for range 20_001 {
		if _, _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.buf) > largeBuffer {
		t.Errorf("a busy reader of small frames keeps %d bytes, want at most %d", len(r.buf), largeBuffer)
	}
	if got := testing.AllocsPerRun(100, func() {
		r.src = &records{stream[len(stream)-1000*len(small):], 1000}
		r.start, r.end = 0, 0
		for range 1000 {
			if _, _, err := r.Next(); err != nil {
				t.Fatal(err)
			}
		}
	}); got > 1 { // the records
		t.Errorf("1000 small frames cost %v allocations, want none", got)
	}
}

// TestCountAllocations holds that no count or length inside a payload makes a decoder
// allocate more than a small multiple of the payload: neither one that is a lie, nor one
// that is true of the smallest elements that there are.
func TestCountAllocations(t *testing.T) {
	decoders := map[string]func(*Decoder){
		"string":     func(d *Decoder) { _ = d.String() },
		"optional":   func(d *Decoder) { _, _ = d.OptionalString() },
		"chars":      func(d *Decoder) { d.Chars(MaxSASLData) },
		"parameters": func(d *Decoder) { d.TypedParams(MaxTypedParams) },
		"error":      func(d *Decoder) { _ = d.RemoteError() },
		"lifecycle":  func(d *Decoder) { d.LifecycleMessage() },
	}
	emptyParams := make([]TypedParam, MaxTypedParams)
	for i := range emptyParams {
		emptyParams[i].Type = ParamInt
	}
	var params Encoder
	params.TypedParams(emptyParams)
	payloads := map[string][]byte{"smallest parameters": params.Payload()}
	for _, first := range []uint32{1, 7, 64, 2048, MaxSASLData, MaxString, 1<<31 - 1, 1<<32 - 1} {
		lie := binary.BigEndian.AppendUint32(nil, first)
		payloads[string(lie)+" alone"] = lie
		payloads[string(lie)+" and zeros"] = append(lie, make([]byte, 64<<10)...)
		payloads[string(lie)+" again and again"] = bytes.Repeat(lie, 16<<10)
	}
	for what, decode := range decoders {
		for name, payload := range payloads {
			got := allocated(func() {
				d := NewDecoder(payload)
				decode(&d)
			})
			if limit := uint64(8*len(payload) + 4096); got > limit {
				t.Errorf("%s of %q: %d bytes cost %d bytes of allocations, want at most %d", what, name, len(payload), got, limit)
			}
		}
	}
}

// TestRemoteErrorIsOneBoundedLine holds that what a daemon puts into an error neither
// fills a log nor reaches a terminal as more than one line of text.
func TestRemoteErrorIsOneBoundedLine(t *testing.T) {
	hostile := "qemu said:\n\x1b[2J\x1b]0;x\a level=INFO msg=fine\r\n" + strings.Repeat("漢\xff", 900<<10)
	var e Encoder
	e.RemoteError(&RemoteError{
		Code: 38, Message: hostile, Str1: hostile, Str2: hostile, Str3: hostile,
		Object: &schema.Object{Name: strings.Repeat("n", 3<<20)},
	})
	d := NewDecoder(e.Payload())
	got := d.RemoteError()
	if d.Err() != nil {
		t.Fatal(d.Err())
	}
	for _, text := range []string{got.Message, got.Str1, got.Str2, got.Str3, got.Object.Name} {
		if len(text) > MaxErrorText || !utf8.ValidString(text) || strings.ContainsAny(text, "\n\r\x1b\a\x00") {
			t.Errorf("%d bytes: %.80q, want one line of at most %d bytes", len(text), text, MaxErrorText)
		}
	}
	if want := "qemu said: 0;x level=INFO msg=fine 漢"; !strings.HasPrefix(got.Error(), want) {
		t.Errorf("got %.80q, want it to begin %q", got.Error(), want)
	}
}
