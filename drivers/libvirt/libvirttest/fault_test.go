package libvirttest

import (
	"errors"
	"io"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/virtcast/virtcast/drivers/libvirt/wire"
	"github.com/virtcast/virtcast/schema"
)

// pair is a server and an open peer, and the client that the server has of it.
func pair(t *testing.T, opts Options) (*Server, *peer, *Client) {
	t.Helper()
	s := NewServer(opts)
	p := openPeer(t, s.Pipe(), s.URI(), 0)
	return s, p, s.Clients()[0]
}

func TestCut(t *testing.T) {
	s, p, c := pair(t, Options{})
	defer s.Close()
	s.Cut()
	p.wantEOF()
	if got := c.Info().Closed; got != ClosedByCut {
		t.Errorf("got reason %q, want %q", got, ClosedByCut)
	}
	openPeer(t, s.Pipe(), s.URI(), 0) // a new one is welcome
}

func TestCutAfter(t *testing.T) {
	s, p, c := pair(t, Options{})
	defer s.Close()
	c.CutAfter(2)
	p.must(wire.ProcConnectGetType, nil)
	p.must(wire.ProcConnectGetType, nil)
	p.wantEOF()
}

func TestStallKeepsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p, c := pair(t, Options{})
		defer s.Close()
		p.register(nil)
		d, _ := s.Domain(TestDomainUUID)
		c.Stall()
		for range 3 {
			d.Emit(2, 0)
		}
		p.send(wire.Header{Program: wire.ProgramRemote, Version: 1, Procedure: wire.ProcConnectGetType, Serial: 99}, nil)
		p.wantQuiet(time.Hour)
		c.Unstall()
		for range 3 {
			p.event()
		}
		if f, err := p.next(); err != nil || f.Serial != 99 {
			t.Errorf("got frame %+v, error %v, want the late reply", f.Header, err)
		}
	})
}

func TestDelayReplies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p, _ := pair(t, Options{})
		defer s.Close()
		s.DelayReplies(3*time.Second, wire.ProcConnectGetType)
		s.DelayReplies(time.Second)
		call := wire.Header{Program: wire.ProgramRemote, Version: 1}
		start := time.Now()
		for i, procedure := range []int32{wire.ProcConnectGetType, wire.ProcConnectGetURI} {
			call.Procedure, call.Serial = procedure, uint32(i)
			p.send(call, nil)
		}
		for _, want := range []struct {
			serial uint32
			after  time.Duration
		}{{1, time.Second}, {0, 3 * time.Second}} {
			f, err := p.next()
			if err != nil || f.Serial != want.serial || time.Since(start) != want.after {
				t.Errorf("got serial %d, error %v, after %v, want %+v", f.Serial, err, time.Since(start), want)
			}
		}
		s.DelayReplies(0)
		s.DelayReplies(0, wire.ProcConnectGetType)
		start = time.Now()
		p.must(wire.ProcConnectGetType, nil)
		if got := time.Since(start); got != 0 {
			t.Errorf("reply after %v, want at once", got)
		}
	})
}

// TestAtMostFiveRequests: the sixth call is not even read until a reply to one of the
// five was written.
func TestAtMostFiveRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p, _ := pair(t, Options{})
		defer s.Close()
		s.DelayReplies(time.Minute)
		call := wire.Header{Program: wire.ProgramRemote, Version: 1, Procedure: wire.ProcConnectGetType}
		for range 5 {
			p.send(call, nil)
		}
		if err := p.conn.SetWriteDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := p.conn.Write(wire.AppendFrame(nil, keepaliveHeader(wire.ProcKeepalivePing), nil)); err == nil {
			t.Error("a frame was read while five calls waited for their replies")
		}
	})
}

func TestErrorFor(t *testing.T) {
	s, p, _ := pair(t, Options{})
	defer s.Close()
	s.ErrorFor(wire.ProcConnectListAllDomains, wire.CodeAccessDenied, "access denied")
	f := p.call(wire.ProcConnectListAllDomains, encode(1, 0))
	d := wire.NewDecoder(f.payload)
	if e := d.RemoteError(); f.Status != wire.StatusError || e.Code != wire.CodeAccessDenied || e.Message != "access denied" {
		t.Errorf("got status %d, error %v, want access denied", f.Status, e)
	}
	s.ErrorFor(wire.ProcConnectListAllDomains, 0, "")
	p.must(wire.ProcConnectListAllDomains, encode(1, 0))
}

func TestEventBeforeReply(t *testing.T) {
	s, p, _ := pair(t, Options{})
	defer s.Close()
	s.EventBeforeReply(testDomain, 4, 0)
	other := schema.Object{UUID: schema.UUID{1}}
	p.register(&other)
	if len(p.events) != 0 {
		t.Fatalf("got %d events for a filter that does not match, want none", len(p.events))
	}
	id := p.register(nil)
	if len(p.events) != 1 {
		t.Fatalf("got %d events before the reply, want 1", len(p.events))
	}
	if m := p.event(); m.CallbackID != id || m.Event != 4 || m.Domain != testDomain {
		t.Errorf("got %+v, want callback %d and event 4", m, id)
	}
	s.EventBeforeReply(schema.Object{}, 0, 0)
	p.register(&testDomain)
	if len(p.events) != 0 {
		t.Errorf("got %d events after it was taken back, want none", len(p.events))
	}
}

func TestRefuseConnections(t *testing.T) {
	s := NewServer(Options{})
	defer s.Close()
	s.RefuseConnections(true)
	newPeer(t, s.Pipe()).wantEOF()
	newPeer(t, dialUnix(t, s)).wantEOF()
	s.RefuseConnections(false)
	openPeer(t, s.Pipe(), s.URI(), 0)
}

func TestBadBytes(t *testing.T) {
	tests := map[string]struct {
		do   func(*Client)
		want error // of reading; nil: a frame
	}{
		"garbage":    {(*Client).Garbage, wire.ErrFrameLength},
		"half frame": {(*Client).HalfFrame, io.ErrUnexpectedEOF},
		"unknown":    {(*Client).UnknownMessage, nil},
		"bad event":  {func(c *Client) { c.BadEvent(0) }, nil},
		"callback":   {func(c *Client) { c.UnknownCallback(testDomain, 2, 0) }, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s, p, c := pair(t, Options{})
			defer s.Close()
			test.do(c)
			f, err := p.next()
			if !errors.Is(err, test.want) {
				t.Fatalf("got frame %+v, error %v, want %v", f.Header, err, test.want)
			}
			if test.want == nil {
				p.must(wire.ProcConnectGetType, nil)
			}
		})
	}
}

func TestOverrunCutsOff(t *testing.T) {
	s, p, c := pair(t, Options{MaxQueue: 10_000})
	defer s.Close()
	p.register(nil)
	d, _ := s.Domain(TestDomainUUID)
	for range 200 { // nobody reads
		d.Emit(2, 0)
	}
	if got := c.Info(); got.Closed != ClosedByOverrun || got.Queued > 10_000 {
		t.Errorf("got %+v, want an overrun", got)
	}
}

func TestOnConnectFaultsFromTheFirstByte(t *testing.T) {
	s := NewServer(Options{OnConnect: func(c *Client) { c.CutAfter(1) }})
	defer s.Close()
	p := newPeer(t, s.Pipe())
	p.must(wire.ProcAuthList, nil)
	p.wantEOF()
}

func TestAuthPolkit(t *testing.T) {
	s := NewServer(Options{Auth: []int32{wire.AuthPolkit}})
	defer s.Close()
	p := newPeer(t, s.Pipe())
	f := p.call(wire.ProcConnectOpen, openArgs(s.URI(), 0))
	d := wire.NewDecoder(f.payload)
	if e := d.RemoteError(); f.Status != wire.StatusError || e.Code != wire.CodeRPC {
		t.Fatalf("open before authentication: got status %d, %v, want code %d", f.Status, e, wire.CodeRPC)
	}
	if got := p.must(wire.ProcAuthList, nil); string(got) != "\x00\x00\x00\x01\x00\x00\x00\x02" {
		t.Errorf("auth list: got %x", got)
	}
	p.must(wire.ProcAuthPolkit, nil)
	p.must(wire.ProcConnectOpen, openArgs(s.URI(), 0))
}

func TestCloseEndsEverything(t *testing.T) {
	s := NewServer(Options{})
	path := filepath.Join(t.TempDir(), "sock")
	if _, err := s.Listen("unix", path); err != nil {
		t.Fatal(err)
	}
	p := openPeer(t, s.Pipe(), s.URI(), 0)
	askForKeepalive(p)
	s.DelayReplies(time.Hour)
	p.send(wire.Header{Program: wire.ProgramRemote, Version: 1, Procedure: wire.ProcConnectGetType}, nil)
	s.Close()
	s.Close()
	p.wantEOF()
	newPeer(t, s.Pipe()).wantEOF()
	if _, err := s.Listen("unix", path); !errors.Is(err, ErrServerClosed) {
		t.Errorf("listen after close: got %v, want %v", err, ErrServerClosed)
	}
	if _, err := s.Define("x", schema.UUID{1}); !errors.Is(err, ErrServerClosed) {
		t.Errorf("define after close: got %v, want %v", err, ErrServerClosed)
	}
}
