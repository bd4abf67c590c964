package drivertest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virtcast/virtcast/schema"
)

func testOrder(s *suite) {
	t := s.t
	session, h, done := s.open()
	defer done()
	const n = 5000
	a, b := s.Domains()
	id := s.register(session, nil)
	want := make([]string, 0, n)
	for i := range int32(n) {
		domain := a
		if i%3 == 0 {
			domain = b
		}
		s.Emit(domain.UUID, 2, i)
		want = append(want, fmt.Sprintf("%s 2/%d callback %d", domain.Name, i, id))
	}
	h.wait(t, n)
	if diff := cmp.Diff(want, h.lines()); diff != "" {
		t.Errorf("observed (-want +got):\n%s", diff)
	}
	first := h.all()[0]
	if first.Connection != session.Connection() || first.Kind != schema.KindLifecycle || first.Object.UUID != b.UUID {
		t.Errorf("the first observation is %+v", first)
	}
	if age := time.Since(first.Received); age < 0 || age > s.patience {
		t.Errorf("received %v ago", age)
	}
}

func testCopies(s *suite) {
	t := s.t
	session, h, done := s.open()
	defer done()
	a, b := s.Domains()
	absent := schema.UUID{0xab, 0x5e, 0x27}
	all := s.register(session, nil)
	ofA := s.register(session, &a.UUID)
	ofAbsent := s.register(session, &absent)
	if all == ofA || all == ofAbsent || ofA == ofAbsent {
		t.Fatalf("callback ids %d, %d, %d are not distinct", all, ofA, ofAbsent)
	}
	const n = 1000
	for i := range int32(n) {
		s.Emit(a.UUID, 2, i)
		s.Emit(b.UUID, 3, i)
	}
	got := h.sentinel(s, b.UUID)
	if len(got) != 3*n {
		t.Fatalf("got %d observations, want %d", len(got), 3*n)
	}
	for i := range int32(n) {
		first, second, other := got[3*i], got[3*i+1], got[3*i+2]
		ids := [2]int32{first.CallbackID, second.CallbackID}
		if ids != [2]int32{all, ofA} && ids != [2]int32{ofA, all} || first.Detail != i || second.Detail != i {
			t.Fatalf("event %d came as %s and %s, want two copies, one behind the other", i, line(first), line(second))
		}
		if other.CallbackID != all || other.Detail != i || other.Object.UUID != b.UUID {
			t.Fatalf("event %d of the other domain came as %s", i, line(other))
		}
	}
}

func testOneCallbackPerFilter(s *suite) {
	t := s.t
	session, h, done := s.open()
	defer done()
	ctx, cancel := context.WithTimeout(t.Context(), s.patience)
	defer cancel()
	a, _ := s.Domains()
	id := s.register(session, &a.UUID)
	if _, err := session.RegisterAny(ctx, schema.KindLifecycle, &a.UUID); err == nil {
		t.Error("the second registration of the same kind and domain succeeded")
	}
	if err := session.DeregisterAny(ctx, schema.KindLifecycle, id+1000); err == nil {
		t.Error("a callback that does not exist was deregistered")
	}
	s.Emit(a.UUID, 2, 1)
	if got := h.wait(t, 1); got[0].CallbackID != id {
		t.Errorf("got %s, want callback %d", line(got[0]), id)
	}
	if peers := s.Sessions(); len(peers) != 1 || peers[0].Callbacks != 1 {
		t.Errorf("the hypervisor has %+v, want one session with one callback", peers)
	}
}

func testBeforeReply(s *suite) {
	t := s.t
	session, h, done := s.open()
	defer done()
	a, b := s.Domains()
	first := s.register(session, &b.UUID)
	s.EmitBeforeReply(a.UUID, 2, 41)
	id := s.register(session, &a.UUID)
	s.Emit(b.UUID, 2, 42)
	h.wait(t, 2)
	want := []string{
		fmt.Sprintf("%s 2/41 callback %d", a.Name, id),
		fmt.Sprintf("%s 2/42 callback %d", b.Name, first),
	}
	if diff := cmp.Diff(want, h.lines()); diff != "" {
		t.Errorf("observed (-want +got):\n%s", diff)
	}
}

func testAfterDeregister(s *suite) {
	t := s.t
	session, h, done := s.open()
	defer done()
	a, b := s.Domains()
	s.register(session, &b.UUID)
	stop := flood(s, a.UUID)
	defer stop()
	for range 20 {
		before := len(h.all())
		id := s.register(session, &a.UUID)
		h.wait(t, before+1)
		s.deregister(session, id)
		seen := h.all()
		time.Sleep(time.Millisecond)
		if late := h.all()[len(seen):]; len(late) > 0 {
			t.Fatalf("%s came after DeregisterAny had returned", line(late[0]))
		}
	}
	stop()
	before := len(h.all())
	s.EmitStale(2, 1)
	if got := h.sentinel(s, b.UUID); len(got) != before {
		t.Errorf("%s came from a callback that does not exist", line(got[before]))
	}
}

// flood sends events of a domain until stop is called, which may be called twice.
func flood(s *suite, domain schema.UUID) (stop func()) {
	var emitting sync.WaitGroup
	done := make(chan struct{})
	emitting.Go(func() {
		for i := int32(0); ; i++ {
			select {
			case <-done:
				return
			default:
				s.Emit(domain, 2, i)
				if i%10 == 0 {
					time.Sleep(100 * time.Microsecond)
				}
			}
		}
	})
	return sync.OnceFunc(func() {
		close(done)
		emitting.Wait()
	})
}

func testUnknownNumbers(s *suite) {
	t := s.t
	session, h, done := s.open()
	defer done()
	a, _ := s.Domains()
	id := s.register(session, nil)
	unknown := [][2]int32{{99, 0}, {2, 999}, {-1, -1}, {1<<31 - 1, -1 << 31}}
	want := make([]string, 0, len(unknown))
	for _, numbers := range unknown {
		s.Emit(a.UUID, numbers[0], numbers[1])
		want = append(want, fmt.Sprintf("%s %d/%d callback %d", a.Name, numbers[0], numbers[1], id))
	}
	h.wait(t, len(want))
	if diff := cmp.Diff(want, h.lines()); diff != "" {
		t.Errorf("observed (-want +got):\n%s", diff)
	}
}

func testRefusedKind(s *suite) {
	t := s.t
	session, h, done := s.open()
	defer done()
	ctx, cancel := context.WithTimeout(t.Context(), s.patience)
	defer cancel()
	if _, err := session.RegisterAny(ctx, s.Refused(), nil); err == nil {
		t.Error("RegisterAny succeeded for a kind that the hypervisor refuses")
	}
	a, _ := s.Domains()
	s.register(session, nil)
	s.Emit(a.UUID, 2, 1)
	h.wait(t, 1)
}

func testUndecodable(s *suite) {
	t := s.t
	session, h, done := s.open()
	defer done()
	a, _ := s.Domains()
	id := s.register(session, nil)
	s.Emit(a.UUID, 2, 1)
	s.EmitUndecodable()
	s.Emit(a.UUID, 2, 2)
	h.wait(t, 2)
	want := []string{fmt.Sprintf("%s 2/1 callback %d", a.Name, id), fmt.Sprintf("%s 2/2 callback %d", a.Name, id)}
	if diff := cmp.Diff(want, h.lines()); diff != "" {
		t.Errorf("observed (-want +got):\n%s", diff)
	}
}
