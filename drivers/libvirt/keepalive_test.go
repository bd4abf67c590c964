package libvirt

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virtcast/virtcast/drivers/libvirt/wire"
)

func TestKeepaliveDeath(t *testing.T) {
	config := Config{KeepaliveInterval: 2 * time.Second, KeepaliveCount: 3}
	scripted(t, config, func(x script) {
		t, s, p := x.t, x.s, x.p
		register(t, s, p, 0)
		for range 5 { // a peer that talks needs no ping
			time.Sleep(1400 * time.Millisecond)
			p.event(0, 1)
		}
		silent := time.Now()
		if got := s.Stats().PingsSent; got != 0 {
			t.Errorf("%d pings were sent to a peer that talks", got)
		}
		pings := make([]time.Duration, 0, 3)
		for range 3 {
			h, _ := p.next()
			if h.Program != wire.ProgramKeepalive || h.Type != wire.TypeMessage || h.Serial != 0 {
				t.Fatalf("got %+v, want a ping", h)
			}
			pings = append(pings, time.Since(silent))
		}
		if diff := cmp.Diff([]time.Duration{1500 * time.Millisecond, 3 * time.Second, 4500 * time.Millisecond}, pings); diff != "" {
			t.Errorf("pings (-want +got):\n%s", diff)
		}
		<-s.Done()
		if got, want := time.Since(silent), 6*time.Second; got != want {
			t.Errorf("noticed after %s, want %s", got, want)
		}
		if err := s.Err(); !errors.Is(err, ErrPeerSilent) {
			t.Errorf("session ended with %v, want ErrPeerSilent", err)
		}
		if got := s.LastHeard(); !got.Equal(silent) || got.Location() != time.UTC {
			t.Errorf("last heard at %s, want %s", got, silent.UTC())
		}
	})
}

func TestKeepaliveAnswered(t *testing.T) {
	config := Config{KeepaliveInterval: time.Second, KeepaliveCount: 1}
	scripted(t, config, func(x script) {
		t, s, p := x.t, x.s, x.p
		for range 20 {
			h, _ := p.next()
			if h.Procedure != wire.ProcKeepalivePing {
				t.Fatalf("got %+v, want a ping", h)
			}
			p.write(keepaliveFrame(wire.ProcKeepalivePong))
		}
		p.write(keepaliveFrame(wire.ProcKeepalivePing))
		if h, _ := p.next(); h.Procedure != wire.ProcKeepalivePong || h.Program != wire.ProgramKeepalive {
			t.Errorf("got %+v, want a pong", h)
		}
		select {
		case <-s.Done():
			t.Errorf("session ended: %v", s.Err())
		default:
		}
		if got := s.Stats(); got.PingsReceived != 1 || got.PingsSent != 20 {
			t.Errorf("stats = %+v", got)
		}
	})
}

// TestStuckPeer holds that a peer that does not read stops neither the reading nor
// the session's end.
func TestStuckPeer(t *testing.T) {
	config := Config{CallTimeout: 3 * time.Second, KeepaliveInterval: time.Hour}
	scripted(t, config, func(x script) {
		t, s, p, c := x.t, x.s, x.p, x.c
		register(t, s, p, 0)
		start := time.Now()
		for range 100 {
			p.write(keepaliveFrame(wire.ProcKeepalivePing)) // the first pong already is not read
			p.event(0, 1)
		}
		if got := len(c.settled()); got != 100 {
			t.Errorf("observed %d events, want 100", got)
		}
		<-s.Done()
		if got, want := time.Since(start), 3*time.Second; got != want {
			t.Errorf("ended after %s, want %s", got, want)
		}
		if err := s.Err(); err == nil {
			t.Error("the session does not say why it ended")
		}
	})
}
