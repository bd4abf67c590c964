package drivertest

import (
	"fmt"
	"sync"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virtcast/virtcast/drivers"
	"github.com/virtcast/virtcast/schema"
)

func testOrder(s *suite) {
	t := s.t
	session, h, done := s.open()
	defer done()
	const n = 5000
	a, b := s.Domains()
	s.watch(session, all)
	want := make([]string, 0, n)
	for i := range int32(n) {
		domain := a
		if i%3 == 0 {
			domain = b
		}
		s.Emit(domain.UUID, 2, i)
		want = append(want, fmt.Sprintf("%s 2/%d", domain.Name, i))
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

func testOnce(s *suite) {
	t := s.t
	session, h, done := s.open()
	defer done()
	a, b := s.Domains()
	absent := schema.UUID{0xab, 0x5e, 0x27}
	s.watch(session, of(a.UUID), of(absent))
	const n = 1000
	want := make([]string, 0, n)
	for i := range int32(n) {
		s.Emit(a.UUID, 2, i/2) // in equal pairs
		s.Emit(b.UUID, 3, i)
		want = append(want, fmt.Sprintf("%s 2/%d", a.Name, i/2))
	}
	h.sentinel(s, a.UUID)
	if diff := cmp.Diff(want, h.lines()[:n]); diff != "" {
		t.Errorf("observed (-want +got):\n%s", diff)
	}
}

// testChangeOver changes from the filters of two domains to that of all and back while
// events flow: none may be missing, come twice, or out of order.
func testChangeOver(s *suite) {
	t := s.t
	session, h, done := s.open()
	defer done()
	a, b := s.Domains()
	named := []drivers.Filter{of(a.UUID), of(b.UUID)}
	s.watch(session, named...)
	stop := make(chan struct{})
	var emitting sync.WaitGroup
	want := []string{}
	emitting.Go(func() {
		for i := int32(0); ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			domain := a
			if i%3 == 0 {
				domain = b
			}
			s.Emit(domain.UUID, 2, i/4) // in equal pairs
			want = append(want, fmt.Sprintf("%s 2/%d", domain.Name, i/4))
			time.Sleep(100 * time.Microsecond)
		}
	})
	for range 3 {
		time.Sleep(moment)
		s.watch(session, all)
		time.Sleep(moment)
		s.watch(session, named...)
	}
	close(stop)
	emitting.Wait()
	if diff := cmp.Diff(want, names(h.sentinel(s, b.UUID))); diff != "" {
		t.Errorf("observed (-want +got):\n%s", diff)
	}
}

func testSameAgain(s *suite) {
	t := s.t
	session, h, done := s.open()
	defer done()
	a, b := s.Domains()
	for range 3 {
		s.watch(session, of(a.UUID), of(b.UUID))
	}
	s.watch(session, of(b.UUID), of(a.UUID))
	s.Emit(a.UUID, 2, 1)
	if got := h.sentinel(s, b.UUID); len(got) != 1 {
		t.Errorf("got %q, want one event", names(got))
	}
	if peers := s.Sessions(); len(peers) != 1 || peers[0].Watched != 2 {
		t.Errorf("the hypervisor has %+v, want one session with two filters", peers)
	}
}

func testBeforeReply(s *suite) {
	t := s.t
	session, h, done := s.open()
	defer done()
	a, b := s.Domains()
	s.watch(session, of(b.UUID))
	s.EmitBeforeReply(a.UUID, 2, 41)
	s.watch(session, of(b.UUID), of(a.UUID))
	s.Emit(b.UUID, 2, 42)
	h.wait(t, 2)
	if diff := cmp.Diff([]string{a.Name + " 2/41", b.Name + " 2/42"}, h.lines()); diff != "" {
		t.Errorf("observed (-want +got):\n%s", diff)
	}
}

func testNoLongerWanted(s *suite) {
	t := s.t
	session, h, done := s.open()
	defer done()
	a, b := s.Domains()
	s.watch(session, of(b.UUID))
	stop := flood(s, a.UUID)
	defer stop()
	for range 20 {
		before := len(h.all())
		s.watch(session, of(b.UUID), of(a.UUID))
		h.wait(t, before+1)
		s.watch(session, of(b.UUID))
		seen := h.all()
		time.Sleep(time.Millisecond)
		if late := h.all()[len(seen):]; len(late) > 0 {
			t.Fatalf("%s came after Watch had returned without its filter", line(late[0]))
		}
	}
	stop()
	before := len(h.all())
	s.EmitStale(2, 1)
	if got := h.sentinel(s, b.UUID); len(got) != before {
		t.Errorf("%s came without a filter", line(got[before]))
	}
}

// names names observations.
func names(observations []schema.Observation) []string {
	lines := make([]string, 0, len(observations))
	for _, o := range observations {
		lines = append(lines, line(o))
	}
	return lines
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
	s.watch(session, all)
	unknown := [][2]int32{{99, 0}, {2, 999}, {-1, -1}, {1<<31 - 1, -1 << 31}}
	want := make([]string, 0, len(unknown))
	for _, numbers := range unknown {
		s.Emit(a.UUID, numbers[0], numbers[1])
		want = append(want, fmt.Sprintf("%s %d/%d", a.Name, numbers[0], numbers[1]))
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
	refused := drivers.Filter{Kind: s.Refused()}
	missing := s.watchSome(session, refused, all)
	if len(missing) != 1 || missing[0].Filter != refused || !drivers.Permanent(missing[0].Err) {
		t.Errorf("missing are %v, want the refused kind for good", missing)
	}
	a, _ := s.Domains()
	s.Emit(a.UUID, 2, 1)
	h.wait(t, 1)
}

func testRefusedForAMoment(s *suite) {
	t := s.t
	session, h, done := s.open()
	defer done()
	a, b := s.Domains()
	s.watch(session, of(a.UUID))
	s.RefuseWatch(true)
	missing := s.watchSome(session, of(a.UUID), of(b.UUID))
	if len(missing) != 1 || missing[0].Filter != of(b.UUID) || missing[0].Err == nil || drivers.Permanent(missing[0].Err) {
		t.Errorf("missing are %v, want the second domain, not for good", missing)
	}
	s.Emit(a.UUID, 2, 1)
	h.wait(t, 1)
	s.RefuseWatch(false)
	s.watch(session, of(a.UUID), of(b.UUID))
	s.Emit(b.UUID, 2, 2)
	h.wait(t, 2)
}

func testUndecodable(s *suite) {
	t := s.t
	session, h, done := s.open()
	defer done()
	a, _ := s.Domains()
	s.watch(session, all)
	s.Emit(a.UUID, 2, 1)
	s.EmitUndecodable()
	s.Emit(a.UUID, 2, 2)
	h.wait(t, 2)
	want := []string{a.Name + " 2/1", a.Name + " 2/2"}
	if diff := cmp.Diff(want, h.lines()); diff != "" {
		t.Errorf("observed (-want +got):\n%s", diff)
	}
}
