package libvirt

import (
	"errors"
	"io"
	"testing"

	"github.com/virtcast/virtcast/drivers/libvirt/wire"
)

func TestSkippedFrames(t *testing.T) {
	scripted(t, Config{}, func(x script) {
		t, s, p, c := x.t, x.s, x.p, x.c
		register(t, s, p, 0)
		header := func(change func(*wire.Header)) wire.Header { h := eventHeader; change(&h); return h }
		unknown := []wire.Header{
			header(func(h *wire.Header) { h.Procedure = 999 }),
			header(func(h *wire.Header) { h.Version = 2 }),
			header(func(h *wire.Header) { h.Program = wire.ProgramQEMU }),
			header(func(h *wire.Header) { h.Program = 1 }),
			header(func(h *wire.Header) { h.Program = wire.ProgramKeepalive; h.Procedure = 7 }),
			header(func(h *wire.Header) { h.Type = wire.TypeCall }),
			header(func(h *wire.Header) { h.Type = wire.TypeStream }),
			header(func(h *wire.Header) { h.Type = wire.TypeReply; h.Serial = 4711 }),
			header(func(h *wire.Header) { h.Type = 99 }),
		}
		for _, h := range unknown {
			p.send(h, []byte{0, 0, 0, 0})
		}
		for n := range 32 { // an event cut anywhere before its last field
			p.send(eventHeader, eventFrame(0, 1)[28:][:n&^3])
		}
		p.event(0, 77) // a number from the future passes
		wantEvents(t, c, "d 77/0")
		got := s.Stats()
		if got.Unknown != uint64(len(unknown)) || got.Undecodable != 32 {
			t.Errorf("stats = %+v, want %d unknown and 32 undecodable", got, len(unknown))
		}
	})
}

func TestStreamOutOfStep(t *testing.T) {
	tests := []struct {
		name  string
		bytes []byte
		want  error
	}{
		{"garbage", []byte("HTTP/1.1 400 Bad Request"), wire.ErrFrameLength},
		{"length 0", make([]byte, 4), wire.ErrFrameLength},
		{"half a frame", eventFrame(0, 1)[:40], io.ErrUnexpectedEOF},
		{"end", nil, io.EOF},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			scripted(t, Config{}, func(x script) {
				t, s, p, c := x.t, x.s, x.p, x.c
				register(t, s, p, 0)
				p.event(0, 1)
				_, _ = p.conn.Write(tt.bytes) // the session may hang up before it has read all
				_ = p.conn.Close()
				<-s.Done()
				if err := s.Err(); !errors.Is(err, tt.want) {
					t.Errorf("session ended with %v, want %v", err, tt.want)
				}
				if err := s.List(t.Context()); !errors.Is(err, ErrClosed) {
					t.Errorf("list: %v, want ErrClosed", err)
				}
				wantEvents(t, c, "d 1/0")
			})
		})
	}
}
