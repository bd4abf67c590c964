package libvirt

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/virtcast/virtcast/drivers"
	"github.com/virtcast/virtcast/drivers/libvirt/wire"
	"github.com/virtcast/virtcast/schema"
)

// deregisters answers a deregistration of the callback with an id.
func (p *peer) deregisters(id int32) {
	p.t.Helper()
	h, args := p.expect(wire.ProcDomainEventDeregisterAny)
	if d := wire.NewDecoder(args); d.Int32() != id {
		p.t.Errorf("deregistered with %x, want id %d", args, id)
	}
	p.reply(h, nil)
}

func TestWatchEndsWhatIsNotWanted(t *testing.T) {
	scripted(t, Config{}, func(x script) {
		t, s, p, c := x.t, x.s, x.p, x.c
		register(t, s, p, 3)
		done := watchAsync(t, s)
		h, _ := p.expect(wire.ProcDomainEventDeregisterAny)
		p.event(3, 1)
		p.reply(h, nil)
		wantAll(t, done)
		p.event(3, 2)
		wantEvents(t, c, "d 1/0")
		if got := s.Stats().Stale; got != 1 {
			t.Errorf("stale = %d, want 1", got)
		}
		wantAll(t, watchAsync(t, s)) // asks for nothing
	})
}

func TestUnknownKindIsMissingForGood(t *testing.T) {
	scripted(t, Config{}, func(x script) {
		t, s := x.t, x.s
		for _, kind := range []schema.Kind{
			schema.KindOf(schema.FamilyDomain, 99), schema.KindOf(schema.FamilyNetwork, 0), schema.KindGap,
		} {
			missing, err := s.Watch(t.Context(), []drivers.Filter{{Kind: kind}})
			if err != nil || len(missing) != 1 || !errors.Is(missing[0].Err, ErrUnsupported) || !drivers.Permanent(missing[0].Err) {
				t.Errorf("kind %s: %v, %v, want ErrUnsupported", kind, missing, err)
			}
		}
	})
}

// TestRegistrationFailsForAMoment holds that a daemon's failure is not taken for a
// refusal, and that the next Watch asks for what is missing, and for that only.
func TestRegistrationFailsForAMoment(t *testing.T) {
	scripted(t, Config{}, func(x script) {
		t, s, p, c := x.t, x.s, x.p, x.c
		done := watchAsync(t, s, of(1), of(2))
		for range 2 {
			h, args := p.next()
			if filterOf(t, h, args) == of(2) {
				p.refuse(h, wire.CodeSystemError)
			} else {
				p.reply(h, int32Reply(1))
			}
		}
		got := <-done
		if got.err != nil || len(got.missing) != 1 || got.missing[0].Filter != of(2) || drivers.Permanent(got.missing[0].Err) {
			t.Fatalf("Watch: %+v, want the second filter missing for a moment", got)
		}
		wantAll(t, answering(t, s, p, map[drivers.Filter]int32{of(1): 1, of(2): 2}))
		p.event(2, 5)
		wantEvents(t, c, "d 5/0")
	})
}

// TestSessionLostWhileRegistering holds that a lost session is not taken for a refusal.
func TestSessionLostWhileRegistering(t *testing.T) {
	scripted(t, Config{}, func(x script) {
		t, s, p := x.t, x.s, x.p
		done := watchAsync(t, s, of(1), of(2), of(3), of(4), of(5), of(6))
		h, _ := p.expect(wire.ProcDomainEventRegisterAny)
		p.reply(h, int32Reply(1))
		p.expect(wire.ProcDomainEventRegisterAny)
		_ = p.conn.Close()
		if got := <-done; !errors.Is(got.err, ErrClosed) || got.missing != nil {
			t.Errorf("Watch: %+v, want the loss of the session", got)
		}
	})
}

// TestRegistrationsArePipelined holds that as many calls are out as the daemon reads, and
// no more: 200 registrations at 20 ms take a second.
func TestRegistrationsArePipelined(t *testing.T) {
	scripted(t, Config{}, func(x script) {
		t, s, p := x.t, x.s, x.p
		var want []drivers.Filter
		for i := range 200 {
			want = append(want, of(byte(i+1)))
		}
		began := time.Now()
		done := watchAsync(t, s, want...)
		for id := int32(0); id < 200; id += maxCalls {
			var asked []wire.Header
			for range maxCalls {
				h, _ := p.expect(wire.ProcDomainEventRegisterAny)
				asked = append(asked, h)
			}
			synctest.Wait()
			if n := len(s.slots); n != maxCalls {
				t.Fatalf("%d calls are out, want %d", n, maxCalls)
			}
			time.Sleep(20 * time.Millisecond)
			for i := range asked { // the answers may come in any order
				p.reply(asked[len(asked)-1-i], int32Reply(id+int32(i)))
			}
		}
		wantAll(t, done)
		if took := time.Since(began); took != time.Second {
			t.Errorf("200 registrations took %s, want 1s", took)
		}
	})
}

// TestChangeOver plays a change from one domain to all: the new callback is registered
// before the old one is ended, events that come by both are delivered once, and the old
// one is kept until whatever was on its way has come.
func TestChangeOver(t *testing.T) {
	scripted(t, Config{}, func(x script) {
		t, s, p, c := x.t, x.s, x.p, x.c
		wantAll(t, answering(t, s, p, map[drivers.Filter]int32{of(1): 1}))
		p.event(1, 1)
		began := time.Now()
		done := watchAsync(t, s, all)
		h, _ := p.expect(wire.ProcDomainEventRegisterAny)
		p.event(1, 2) // the old callback only
		p.event(7, 3) // both, before the answer
		p.event(1, 3)
		p.reply(h, int32Reply(7))
		for range 2 { // two equal events, both twice
			p.event(1, 4)
			p.event(7, 4)
		}
		p.write(eventFrameOf(7, 2, 5)) // another domain
		p.deregisters(1)
		wantAll(t, done)
		if took := time.Since(began); took != settle {
			t.Errorf("the old callback was kept for %s, want %s", took, settle)
		}
		p.event(7, 5)
		p.event(7, 5)
		wantEvents(t, c, "d 1/0", "d 2/0", "d 3/0", "d 4/0", "d 4/0", "d 5/0", "d 5/0", "d 5/0")
		if got := s.Stats().Duplicates; got != 3 || s.duplicates != nil {
			t.Errorf("%d duplicates, want 3", got)
		}
	})
}

// TestPartlyRefusedChangeOver holds that the callback of all domains stays where one of
// those that replace it is missing, that the others, which it covers, do not make every
// event come twice, and that the change is made up for when the daemon is well again.
func TestPartlyRefusedChangeOver(t *testing.T) {
	scripted(t, Config{}, func(x script) {
		t, s, p, c := x.t, x.s, x.p, x.c
		register(t, s, p, 0)
		done := watchAsync(t, s, of(1), of(2))
		for range 2 {
			h, args := p.next()
			if filterOf(t, h, args) == of(2) {
				p.refuse(h, wire.CodeSystemError)
			} else {
				p.reply(h, int32Reply(1))
			}
		}
		p.deregisters(1)
		if got := <-done; got.err != nil || len(got.missing) != 1 {
			t.Fatalf("Watch: %+v, want one missing", got)
		}
		p.event(0, 1)
		wantEvents(t, c, "d 1/0")
		wantAll(t, answering(t, s, p, map[drivers.Filter]int32{of(1): 3, of(2): 4}))
		p.event(3, 2)
		p.event(0, 9) // has ended
		wantEvents(t, c, "d 1/0", "d 2/0")
	})
}

// TestDeregistrationDenied holds that a daemon that lets us register and not deregister
// costs neither the session nor the law that nothing unwanted is delivered.
func TestDeregistrationDenied(t *testing.T) {
	scripted(t, Config{}, func(x script) {
		t, s, p, c := x.t, x.s, x.p, x.c
		wantAll(t, answering(t, s, p, map[drivers.Filter]int32{of(1): 1, of(2): 2}))
		done := watchAsync(t, s, of(1))
		h, _ := p.expect(wire.ProcDomainEventDeregisterAny)
		p.refuse(h, wire.CodeAccessDenied)
		wantAll(t, done)
		p.event(2, 1)
		p.event(1, 2)
		wantEvents(t, c, "d 2/0")
		wantAll(t, watchAsync(t, s, of(1), of(2))) // the daemon has that callback still
		p.event(2, 3)
		wantEvents(t, c, "d 2/0", "d 3/0")
	})
}

// TestStrayEventHoldsNothingBack holds that an event of an ended callback does not wait
// for the answer to a registration, and nothing behind it does.
func TestStrayEventHoldsNothingBack(t *testing.T) {
	scripted(t, Config{}, func(x script) {
		t, s, p, c := x.t, x.s, x.p, x.c
		wantAll(t, answering(t, s, p, map[drivers.Filter]int32{of(1): 1, of(2): 2}))
		wantAll(t, answering(t, s, p, map[drivers.Filter]int32{of(1): 1}))
		done := watchAsync(t, s, of(1), of(3))
		h, _ := p.expect(wire.ProcDomainEventRegisterAny)
		p.event(2, 1) // stray
		p.event(1, 2)
		wantEvents(t, c, "d 2/0")
		p.reply(h, int32Reply(3))
		wantAll(t, done)
		if got := s.Stats(); got.Stale != 1 || got.Events != 1 {
			t.Errorf("stats: %+v", got)
		}
	})
}

// TestListingKeepsItsPlace holds that a listing stands behind the events before it, also
// where these wait for the answer to a registration.
func TestListingKeepsItsPlace(t *testing.T) {
	scripted(t, Config{}, func(x script) {
		t, s, p, c := x.t, x.s, x.p, x.c
		wantAll(t, answering(t, s, p, map[drivers.Filter]int32{of(1): 1}))
		done := watchAsync(t, s, of(1), of(2))
		h, _ := p.expect(wire.ProcDomainEventRegisterAny)
		p.event(1, 1)
		p.event(2, 2) // waits
		listed := listAsync(t.Context(), s)
		asked, _ := p.expect(wire.ProcConnectGetAllDomainStats)
		p.reply(asked, func(e *wire.Encoder) { e.Uint32(0) })
		if err := <-listed; err != nil {
			t.Fatal(err)
		}
		p.event(1, 3)
		wantEvents(t, c, "d 1/0")
		p.reply(h, int32Reply(2))
		wantAll(t, done)
		wantEvents(t, c, "d 1/0", "d 2/0", "d 3/0")
		if len(c.places) != 1 || c.places[0] != 2 {
			t.Errorf("the listing came behind %v events, want 2", c.places)
		}
	})
}
