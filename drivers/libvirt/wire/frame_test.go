package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/virtcast/virtcast/schema"
)

// unhex decodes frames as they stand in a recording: words apart.
func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// testUUID is that of the domain "test" of test:///default.
var testUUID = schema.UUID{0x66, 0x95, 0xeb, 0x01, 0xf6, 0xa4, 0x83, 0x04, 0x79, 0xaa, 0x97, 0xf2, 0x50, 0x2e, 0x19, 0x3f}

// golden are frames recorded between a client and libvirtd 9.0.0.
var golden = []struct {
	name    string
	hex     string
	header  Header
	payload func(e *Encoder)
}{
	{
		"auth list call", "0000001c 20008086 00000001 00000042 00000000 00000001 00000000",
		Header{ProgramRemote, 1, ProcAuthList, TypeCall, 1, StatusOK},
		func(*Encoder) {},
	},
	{
		"auth list reply", "00000024 20008086 00000001 00000042 00000001 00000001 00000000 00000001 00000000",
		Header{ProgramRemote, 1, ProcAuthList, TypeReply, 1, StatusOK},
		func(e *Encoder) { e.Uint32(1); e.Int32(AuthNone) },
	},
	{
		"open call", "00000038 20008086 00000001 00000001 00000000 00000002 00000000 00000001 0000000f 74657374 3a2f2f2f 64656661 756c7400 00000000",
		Header{ProgramRemote, 1, ProcConnectOpen, TypeCall, 2, StatusOK},
		func(e *Encoder) { e.OptionalString("test:///default"); e.Uint32(0) },
	},
	{
		"register call", "00000024 20008086 00000001 0000013c 00000000 00000013 00000000 00000000 00000000",
		Header{ProgramRemote, 1, ProcDomainEventRegisterAny, TypeCall, 0x13, StatusOK},
		func(e *Encoder) { e.Int32(0); e.Null() },
	},
	{
		"register reply", "00000020 20008086 00000001 0000013c 00000001 00000013 00000000 00000000",
		Header{ProgramRemote, 1, ProcDomainEventRegisterAny, TypeReply, 0x13, StatusOK},
		func(e *Encoder) { e.Int32(0) },
	},
	{
		"lifecycle event", "00000044 20008086 00000001 0000013e 00000002 00000001 00000000 00000000 00000004 74657374 6695eb01 f6a48304 79aa97f2 502e193f 00000001 00000003 00000000",
		Header{ProgramRemote, 1, ProcDomainEventLifecycle, TypeMessage, 1, StatusOK},
		func(e *Encoder) {
			e.LifecycleMessage(LifecycleMessage{Domain: schema.Object{UUID: testUUID, Name: "test", ID: 1}, Event: 3})
		},
	},
	{
		"keepalive ping", "0000001c 6b656570 00000001 00000001 00000002 00000000 00000000",
		Header{ProgramKeepalive, 1, ProcKeepalivePing, TypeMessage, 0, StatusOK},
		func(*Encoder) {},
	},
}

func TestGoldenFrames(t *testing.T) {
	var stream []byte
	for _, tt := range golden {
		t.Run(tt.name, func(t *testing.T) {
			want := unhex(t, tt.hex)
			stream = append(stream, want...)
			var e Encoder
			tt.payload(&e)
			if diff := cmp.Diff(want, AppendFrame(nil, tt.header, e.Payload())); diff != "" {
				t.Errorf("encoded (-want +got):\n%s", diff)
			}
		})
	}
	readers := map[string]func(io.Reader) io.Reader{
		"whole":        func(r io.Reader) io.Reader { return r },
		"one byte":     iotest.OneByteReader,
		"half":         iotest.HalfReader,
		"data and EOF": iotest.DataErrReader,
	}
	for name, wrap := range readers {
		t.Run("read "+name, func(t *testing.T) {
			r := NewReader(wrap(bytes.NewReader(stream)))
			for _, tt := range golden {
				h, payload, err := r.Next()
				if err != nil {
					t.Fatalf("%s: %v", tt.name, err)
				}
				var e Encoder
				tt.payload(&e)
				if diff := cmp.Diff(tt.header, h); diff != "" {
					t.Errorf("%s: header (-want +got):\n%s", tt.name, diff)
				}
				if !bytes.Equal(payload, e.Payload()) {
					t.Errorf("%s: payload %x, want %x", tt.name, payload, e.Payload())
				}
			}
			if _, _, err := r.Next(); !errors.Is(err, io.EOF) {
				t.Errorf("at the end: %v, want EOF", err)
			}
		})
	}
}

func TestReaderErrors(t *testing.T) {
	lengthWord := func(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
	ping := AppendFrame(nil, Header{Program: ProgramKeepalive}, nil)
	tests := []struct {
		name   string
		stream []byte
		want   error
	}{
		{"empty", nil, io.EOF},
		{"half a length", []byte{0, 0}, io.ErrUnexpectedEOF},
		{"half a frame", ping[:20], io.ErrUnexpectedEOF},
		{"length 0", lengthWord(0), ErrFrameLength},
		{"length below a header", lengthWord(27), ErrFrameLength},
		{"length above the limit", lengthWord(MaxFrame + 1), ErrFrameLength},
		{"text", []byte("HTTP/1.1 400 Bad Request"), ErrFrameLength},
		{"largest length, no bytes", lengthWord(MaxFrame), io.ErrUnexpectedEOF},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := NewReader(bytes.NewReader(tt.stream))
			if _, _, err := r.Next(); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if len(r.buf) > initialBuffer {
				t.Errorf("%d bytes were allocated for a stream of %d", len(r.buf), len(tt.stream))
			}
		})
	}
}

func TestReaderReady(t *testing.T) {
	frame := AppendFrame(nil, Header{Program: ProgramRemote}, make([]byte, 40))
	stream := append(bytes.Repeat(frame, 3), frame[:30]...)
	r := NewReader(bytes.NewReader(stream))
	if r.Ready() {
		t.Error("ready before anything was read")
	}
	for i, want := range []bool{true, true, false} {
		if _, _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
		if got := r.Ready(); got != want {
			t.Errorf("after frame %d: ready = %t, want %t", i, got, want)
		}
	}
}

// TestReaderLargeFrame holds that a large frame arrives whole, and that its memory is
// given back.
func TestReaderLargeFrame(t *testing.T) {
	large := bytes.Repeat([]byte{1, 2, 3, 4}, 1<<20)
	stream := AppendFrame(nil, Header{Program: ProgramRemote, Serial: 1}, large)
	stream = AppendFrame(stream, Header{Program: ProgramRemote, Serial: 2}, nil)
	r := NewReader(bytes.NewReader(stream))
	if _, payload, err := r.Next(); err != nil || !bytes.Equal(payload, large) {
		t.Fatalf("payload of %d bytes, %v; want %d", len(payload), err, len(large))
	}
	if h, _, err := r.Next(); err != nil || h.Serial != 2 {
		t.Fatalf("serial %d, %v; want 2", h.Serial, err)
	}
	if _, _, err := r.Next(); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if len(r.buf) > keepBuffer {
		t.Errorf("an idle reader keeps %d bytes, want at most %d", len(r.buf), keepBuffer)
	}
}

func FuzzFrames(f *testing.F) {
	all := make([]byte, 0, 1024)
	for _, tt := range golden {
		all = append(all, unhex(f, tt.hex)...)
	}
	f.Add(all, uint8(7))
	f.Add([]byte{0, 0, 0, 27}, uint8(1))
	f.Add([]byte{2, 0, 0, 4}, uint8(1))
	f.Fuzz(func(t *testing.T, stream []byte, chunk uint8) {
		r := NewReader(&chunks{stream, int(chunk)%64 + 1})
		var again []byte
		for {
			ready := r.Ready()
			h, payload, err := r.Next()
			if err != nil {
				if ready && !errors.Is(err, ErrFrameLength) {
					t.Fatalf("ready, but %v", err)
				}
				break
			}
			again = AppendFrame(again, h, payload)
		}
		if !bytes.HasPrefix(stream, again) {
			t.Fatalf("frames %x are not those of %x", again, stream)
		}
	})
}

// chunks is a stream that comes in pieces.
type chunks struct {
	rest []byte
	size int
}

func (c *chunks) Read(b []byte) (int, error) {
	if len(c.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), c.size)], c.rest)
	c.rest = c.rest[n:]
	return n, nil
}
