package libvirt

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virtcast/virtcast/drivers/libvirt/wire"
)

func TestKeepaliveDeath(t *testing.T) {
	config := Config{KeepaliveInterval: 2 * time.Second, KeepaliveCount: 3}
	scripted(t, config, func(x script) {
		t, s, p := x.t, x.s, x.p
		register(t, s, p, 0)
		asked := time.Now()
		for range 5 {
			time.Sleep(1400 * time.Millisecond)
			p.event(0, 1)
		}
		silent := time.Now()
		// A peer that talks is pinged once, and while it leaves that unanswered not
		// again.
		if h, _ := p.next(); h.Procedure != wire.ProcKeepalivePing || !time.Now().Equal(silent) {
			t.Errorf("got %+v after %s, want a ping that was waiting", h, time.Since(silent))
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
		if got, want := s.Sure(), asked.Add(-sureSlack); !got.Equal(want) || got.Location() != time.UTC {
			t.Errorf("sure up to %s, want %s: the last call that was answered", got, want.UTC())
		}
	})
}

// TestSure holds that only the answer to a ping or a call moves Sure, and moves it to
// when the question was sent: events that come may be old.
func TestSure(t *testing.T) {
	config := Config{KeepaliveInterval: 2 * time.Second, KeepaliveCount: 3}
	scripted(t, config, func(x script) {
		t, s, p := x.t, x.s, x.p
		began := time.Now()
		check := func(step string, want time.Duration) {
			t.Helper()
			synctest.Wait()
			if got := s.Sure().Add(sureSlack).Sub(began); got != want {
				t.Errorf("%s: sure up to %s, want %s", step, got, want)
			}
		}
		register(t, s, p, 0)
		check("a call", 0)
		talk := func(times int) {
			for range times {
				time.Sleep(500 * time.Millisecond)
				p.event(0, 1)
			}
		}
		p.write(keepaliveFrame(wire.ProcKeepalivePong))
		check("a pong without a ping", 0)
		talk(3)
		ping, _ := p.next()
		if ping.Procedure != wire.ProcKeepalivePing {
			t.Fatalf("got %+v, want a ping", ping)
		}
		sent := time.Since(began)
		talk(10)
		check("events", 0)
		p.write(keepaliveFrame(wire.ProcKeepalivePong))
		check("a pong", sent)
		p.next() // the next ping is sent within the interval
		if took := time.Since(began); took > 8*time.Second {
			t.Errorf("the next ping came after %s", took)
		}
		done := watchAsync(t, s)
		h, _ := p.expect(wire.ProcDomainEventDeregisterAny)
		asked := time.Since(began)
		time.Sleep(time.Second)
		p.reply(h, nil)
		wantAll(t, done)
		check("another call", asked)
	})
}

// TestSureness plays pings and pongs in every order of ten steps: whatever was sent up to
// Sure's time must have been answered.
func TestSureness(t *testing.T) {
	for schedule := range 1 << 10 {
		var k sureness
		var sent []time.Time
		pongs := 0
		for step := range 10 {
			if schedule>>step&1 == 0 {
				k.pinged()
				sent = append(sent, time.Now())
				continue
			}
			k.ponged()
			pongs = min(pongs+1, len(sent))
			if pongs == 0 && !k.at.IsZero() || pongs > 0 && k.at.After(sent[pongs-1]) {
				t.Fatalf("schedule %b: %d pongs, sure up to %v", schedule, pongs, k.at)
			}
		}
		for range 10 { // everything is answered in the end
			k.ponged()
		}
		if len(sent) > 0 && k.awaited != 0 {
			t.Fatalf("schedule %b: a ping is still awaited", schedule)
		}
	}
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

// TestStuckPeer holds that a peer that does not read stops neither the reading nor the
// session's end.
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
