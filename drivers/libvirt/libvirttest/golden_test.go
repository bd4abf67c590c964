package libvirttest

import (
	"encoding/hex"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestGoldenFrames plays what was recorded from libvirtd 9.0.0.
func TestGoldenFrames(t *testing.T) {
	s := NewServer(Options{})
	defer s.Close()
	conn := s.Pipe()
	defer func() { _ = conn.Close() }()
	d, _ := s.Domain(TestDomainUUID)
	exchanges := []struct {
		name, send string
		do         func() error
		want       string
	}{
		{
			name: "auth list", send: "0000001c 20008086 00000001 00000042 00000000 00000001 00000000",
			want: "00000024 20008086 00000001 00000042 00000001 00000001 00000000 00000001 00000000",
		},
		{
			name: "open", send: "00000038 20008086 00000001 00000001 00000000 00000002 00000000 00000001 0000000f 74657374 3a2f2f2f 64656661 756c7400 00000000",
			want: "0000001c 20008086 00000001 00000001 00000001 00000002 00000000",
		},
		{
			name: "register", send: "00000024 20008086 00000001 0000013c 00000000 00000013 00000000 00000000 00000000",
			want: "00000020 20008086 00000001 0000013c 00000001 00000013 00000000 00000000",
		},
		{
			name: "suspended", do: d.Suspend,
			want: "00000044 20008086 00000001 0000013e 00000002 00000001 00000000 00000000 00000004 74657374 6695eb01 f6a48304 79aa97f2 502e193f 00000001 00000003 00000000",
		},
		{
			name: "register again", send: "00000024 20008086 00000001 0000013c 00000000 00000014 00000000 00000000 00000000",
			want: "000000b8 20008086 00000001 0000013c 00000001 00000014 00000001 00000008",
		},
		{
			name: "ping", send: "0000001c 6b656570 00000001 00000001 00000002 00000000 00000000",
			want: "0000001c 6b656570 00000001 00000002 00000002 00000000 00000000",
		},
	}
	for _, x := range exchanges {
		if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if x.do != nil {
			if err := x.do(); err != nil {
				t.Fatalf("%s: %v", x.name, err)
			}
		}
		if _, err := conn.Write(unhex(t, x.send)); err != nil {
			t.Fatalf("%s: %v", x.name, err)
		}
		want := unhex(t, x.want)
		length := int(want[0])<<24 | int(want[1])<<16 | int(want[2])<<8 | int(want[3])
		got := make([]byte, length)
		if _, err := io.ReadFull(conn, got); err != nil {
			t.Fatalf("%s: %v", x.name, err)
		}
		if diff := cmp.Diff(want, got[:len(want)]); diff != "" { // the duplicate's text is in the conformance tests
			t.Errorf("%s (-want +got):\n%s", x.name, diff)
		}
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
