package libvirt

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virtcast/virtcast/drivers"
	"github.com/virtcast/virtcast/drivers/libvirt/wire"
)

func wantEvents(t *testing.T, c *collector, want ...string) {
	t.Helper()
	if diff := cmp.Diff(append([]string{}, want...), c.settled()); diff != "" {
		t.Errorf("observed (-want +got):\n%s", diff)
	}
}

func TestEventsBeforeReply(t *testing.T) {
	scripted(t, Config{}, func(x script) {
		t, s, p, c := x.t, x.s, x.p, x.c
		wantAll(t, answering(t, s, p, map[drivers.Filter]int32{of(1): 0}))
		p.event(0, 1)
		done := watchAsync(t, s, of(1), of(2))
		h, _ := p.expect(wire.ProcDomainEventRegisterAny)
		p.event(0, 2)
		p.event(5, 3) // whose id nobody knows yet
		p.event(0, 4) // known, but behind it
		p.event(5, 5)
		wantEvents(t, c, "d 1/0", "d 2/0")
		p.reply(h, int32Reply(5))
		wantAll(t, done)
		p.event(5, 6)
		wantEvents(t, c, "d 1/0", "d 2/0", "d 3/0", "d 4/0", "d 5/0", "d 6/0")
		if got := s.Stats(); got.Stale != 0 || got.Events != 6 {
			t.Errorf("stats = %+v", got)
		}
	})
}

func TestEventsBeforeRefusal(t *testing.T) {
	scripted(t, Config{}, func(x script) {
		t, s, p, c := x.t, x.s, x.p, x.c
		wantAll(t, answering(t, s, p, map[drivers.Filter]int32{of(1): 0}))
		done := watchAsync(t, s, of(1), of(2))
		h, _ := p.expect(wire.ProcDomainEventRegisterAny)
		p.event(9, 1)
		p.event(0, 2)
		p.refuse(h, wire.CodeNoSupport)
		got := <-done
		if got.err != nil || len(got.missing) != 1 || got.missing[0].Filter != of(2) {
			t.Fatalf("Watch: %+v, want the second filter missing", got)
		}
		err := got.missing[0].Err
		if !errors.Is(err, ErrUnsupported) || !IsUnsupported(err) {
			t.Errorf("err = %v, want ErrUnsupported", err)
		}
		var own *Error
		if !errors.As(err, &own) || !own.Permanent() || own.Connection != "scripted" {
			t.Errorf("err = %#v, want a permanent *Error of the connection", err)
		}
		wantEvents(t, c, "d 2/0")
		if got := s.Stats().Stale; got != 1 {
			t.Errorf("stale = %d, want 1", got)
		}
	})
}

// TestEventsBehindLostRegistration holds that a registration whose answer does not come
// does not hold up the other callbacks for ever, and that the callback that it may yet
// become is ended.
func TestEventsBehindLostRegistration(t *testing.T) {
	scripted(t, Config{CallTimeout: time.Second}, func(x script) {
		t, s, p, c := x.t, x.s, x.p, x.c
		wantAll(t, answering(t, s, p, map[drivers.Filter]int32{of(1): 0}))
		done := watchAsync(t, s, of(1), of(2))
		late, _ := p.expect(wire.ProcDomainEventRegisterAny)
		p.event(5, 1)
		p.event(0, 2)
		if err := (<-done).err; !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("register: %v, want a time-out", err)
		}
		wantEvents(t, c)
		ping, _ := p.next()
		if ping.Program != wire.ProgramKeepalive || ping.Procedure != wire.ProcKeepalivePing {
			t.Fatalf("got %+v, want a ping", ping)
		}
		p.write(keepaliveFrame(wire.ProcKeepalivePong))
		wantEvents(t, c, "d 2/0")
		p.reply(late, int32Reply(5))
		h, args := p.expect(wire.ProcDomainEventDeregisterAny)
		if d := wire.NewDecoder(args); d.Int32() != 5 {
			t.Errorf("deregistered %x, want 5", args)
		}
		p.event(5, 3)
		p.reply(h, nil)
		wantAll(t, answering(t, s, p, map[drivers.Filter]int32{of(1): 0, of(2): 6}))
		p.event(6, 4)
		wantEvents(t, c, "d 2/0", "d 4/0")
		if got := s.Stats(); got.Late != 2 || got.Stale != 2 || len(s.slots) != 0 {
			t.Errorf("stats = %+v, %d slots taken", got, len(s.slots))
		}
	})
}

func TestHeldOverflow(t *testing.T) {
	scripted(t, Config{}, func(x script) {
		t, s, p := x.t, x.s, x.p
		s.heldLimit = 3 * 200
		done := watchAsync(t, s, all)
		p.expect(wire.ProcDomainEventRegisterAny)
		for range 4 {
			p.event(5, 1)
		}
		<-s.Done()
		if err := s.Err(); !errors.Is(err, ErrOverflow) {
			t.Errorf("session ended with %v, want ErrOverflow", err)
		}
		if err := (<-done).err; !errors.Is(err, ErrClosed) || !errors.Is(err, ErrOverflow) {
			t.Errorf("register: %v, want both causes", err)
		}
	})
}

func TestLateReply(t *testing.T) {
	scripted(t, Config{CallTimeout: time.Second}, func(x script) {
		t, s, p := x.t, x.s, x.p
		done := make(chan error, 1)
		go func() { _, err := s.call(t.Context(), wire.ProcConnectGetType, nil); done <- err }()
		late, _ := p.expect(wire.ProcConnectGetType)
		if err := <-done; !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v, want a time-out", err)
		}
		if len(s.slots) != 1 {
			t.Errorf("%d slots are taken, want the one whose answer is out", len(s.slots))
		}
		text := make(chan string, 1)
		go func() { name, _ := s.text(t.Context(), wire.ProcConnectGetHostname, "host name"); text <- name }()
		h, _ := p.expect(wire.ProcConnectGetHostname)
		p.reply(late, stringReply("late"))
		p.reply(h, stringReply("right"))
		if got := <-text; got != "right" {
			t.Errorf("got %q, want the answer to the second call", got)
		}
		p.reply(late, stringReply("twice"))
		synctest.Wait()
		if got := s.Stats(); got.Late != 1 || got.Unknown != 1 || len(s.slots) != 0 {
			t.Errorf("stats = %+v, %d slots taken", got, len(s.slots))
		}
	})
}

// TestCallsInFlight holds that calls whose callers gave up count as long as the daemon is
// at them, and that answers may come in any order.
func TestCallsInFlight(t *testing.T) {
	scripted(t, Config{}, func(x script) {
		t, s, p := x.t, x.s, x.p
		ctx, cancel := context.WithCancel(t.Context())
		calls := make([]wire.Header, 0, maxCalls)
		done := make(chan error, 6)
		for range maxCalls {
			go func() { _, err := s.call(ctx, wire.ProcConnectGetType, nil); done <- err }()
			h, _ := p.expect(wire.ProcConnectGetType)
			calls = append(calls, h)
		}
		cancel()
		for range maxCalls {
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want canceled", err)
			}
		}
		go func() { _, err := s.call(t.Context(), wire.ProcConnectGetURI, nil); done <- err }()
		synctest.Wait()
		if n := len(s.pending); n != maxCalls {
			t.Errorf("%d calls are out, want %d", n, maxCalls)
		}
		slices.Reverse(calls)
		for _, h := range calls {
			p.reply(h, nil)
		}
		h, _ := p.expect(wire.ProcConnectGetURI)
		p.reply(h, stringReply("x"))
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestClose(t *testing.T) {
	scripted(t, Config{}, func(x script) {
		t, s, p, c := x.t, x.s, x.p, x.c
		register(t, s, p, 0)
		done := make(chan error, 2)
		go func() { done <- s.Close() }()
		h, _ := p.expect(wire.ProcConnectClose)
		go func() { done <- s.List(t.Context()) }()
		p.event(0, 1)
		p.reply(h, nil)
		_ = p.conn.Close()
		var closed, listed error
		for range 2 {
			if err := <-done; errors.Is(err, ErrClosed) {
				listed = err
			} else {
				closed = err
			}
		}
		if closed != nil || listed == nil {
			t.Errorf("close: %v, list meanwhile: %v", closed, listed)
		}
		if err := s.Err(); err != nil {
			t.Errorf("err = %v after Close, want nil", err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("second close: %v", err)
		}
		if _, err := s.Watch(t.Context(), []drivers.Filter{all}); !errors.Is(err, ErrClosed) {
			t.Errorf("watch after close: %v, want ErrClosed", err)
		}
		wantEvents(t, c, "d 1/0")
	})
}

func TestCloseOfDeafPeer(t *testing.T) {
	scripted(t, Config{}, func(x script) {
		t, s := x.t, x.s
		start := time.Now()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if got := time.Since(start); got != closeTimeout {
			t.Errorf("close took %s, want %s", got, closeTimeout)
		}
	})
}

func TestBatches(t *testing.T) {
	scripted(t, Config{}, func(x script) {
		t, s, p, c := x.t, x.s, x.p, x.c
		register(t, s, p, 0)
		var sizes []int
		s.out = func(batch drivers.Batch) { sizes = append(sizes, len(batch.Observations)); c.take(batch) }
		burst := make([]byte, 0, 500*len(eventFrame(0, 0)))
		for i := range int32(500) {
			burst = append(burst, eventFrame(0, i)...)
		}
		p.write(burst)
		synctest.Wait()
		if len(c.seen) != 500 || slices.Max(sizes) > maxBatch || len(sizes) > 60 {
			t.Errorf("%d events in batches of %v", len(c.seen), sizes)
		}
		for i, o := range c.seen {
			if o.Event != int32(i) || o.Object.Name != "d" || o.Connection != s.Connection() {
				t.Fatalf("event %d is %+v", i, o)
			}
		}
		if cap(s.batch) > maxBatch+maxBatch/4 { // what the allocator rounds up
			t.Errorf("a session keeps room for %d observations", cap(s.batch))
		}
		for range 2 {
			h, _ := p.next()
			if h.Procedure != wire.ProcKeepalivePing {
				t.Fatalf("got %+v, want a ping", h)
			}
			p.write(keepaliveFrame(wire.ProcKeepalivePong))
		}
		synctest.Wait()
		if s.batch != nil {
			t.Errorf("an idle session keeps room for %d observations", cap(s.batch))
		}
	})
}

// TestReceived holds that the time of an event is that of the read that completed its
// frame.
func TestReceived(t *testing.T) {
	scripted(t, Config{}, func(x script) {
		t, s, p, c := x.t, x.s, x.p, x.c
		register(t, s, p, 0)
		first := time.Now()
		frame := eventFrame(0, 1)
		p.write(append(eventFrame(0, 0), frame[:30]...))
		time.Sleep(time.Second)
		p.write(frame[30:])
		synctest.Wait()
		if len(c.seen) != 2 || !c.seen[0].Received.Equal(first) || !c.seen[1].Received.Equal(first.Add(time.Second)) {
			t.Errorf("received %+v, want one at %s and one a second later", c.seen, first)
		}
		if c.seen[0].Received.Location() != time.UTC {
			t.Error("the time is not in UTC")
		}
	})
}
