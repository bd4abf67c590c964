package libvirttest

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/virtcast/virtcast/drivers/libvirt/wire"
)

// FuzzServer feeds a server whatever bytes a client may send: it must neither panic nor
// hang, and what it answers must be frames.
func FuzzServer(f *testing.F) {
	call := func(procedure int32, args ...any) []byte {
		return wire.AppendFrame(nil, wire.Header{Program: wire.ProgramRemote, Version: 1, Procedure: procedure}, encode(args...))
	}
	for procedure := range procedures {
		f.Add(call(procedure, 1, 0, 0))
		f.Add(call(procedure, testDomain, 0))
	}
	f.Add(call(wire.ProcDomainEventRegisterAny, 0, 1, testDomain))
	f.Add(wire.AppendFrame(nil, keepaliveHeader(wire.ProcKeepalivePing), nil))
	f.Add([]byte("\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, input []byte) {
		s := NewServer(Options{})
		defer s.Close()
		conn := s.Pipe()
		if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		go func() {
			_, _ = conn.Write(call(wire.ProcConnectOpen, s.URI()+optional, 0))
			_, _ = conn.Write(input)
			_, _ = conn.Write([]byte("\xff\xff\xff\xff")) // the end, unless the input left half a frame
			_ = conn.Close()
		}()
		frames := wire.NewReader(conn)
		for {
			_, _, err := frames.Next()
			if err == nil {
				continue
			}
			if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrClosedPipe) {
				t.Fatalf("got %v, want the end", err)
			}
			return
		}
	})
}
