package drivertest

import (
	"context"
	"time"

	"github.com/virtcast/virtcast/drivers"
	"github.com/virtcast/virtcast/schema"
)

func (s *suite) list(session drivers.Session) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), s.patience)
	defer cancel()
	if err := session.List(ctx); err != nil {
		s.t.Fatalf("List: %v", err)
	}
}

func testListing(s *suite) {
	t := s.t
	session, h, done := s.open()
	defer done()
	s.watch(session)
	s.list(session)
	listings, _ := h.listed(t, 1)
	if first := listings[0]; !first.Complete || first.Connection != session.Connection() || time.Since(first.Received) > s.patience {
		t.Errorf("the first listing is %+v", first)
	}
	// A driver that learns states one by one lists them one by one.
	listed := map[schema.UUID]schema.ListedDomain{}
	for _, l := range listings {
		for _, d := range l.Domains {
			listed[d.UUID] = d
		}
	}
	a, b := s.Domains()
	for _, want := range []schema.Object{a, b} {
		got, ok := listed[want.UUID]
		if !ok || got.Name != want.Name || got.State == 0 {
			t.Errorf("domain %s is listed as %+v (%v), want the name %q and a state", want.UUID, got, ok, want.Name)
		}
	}
}

// testListingInOrder holds that a listing stands between the events that came before it
// and those that came after it.
func testListingInOrder(s *suite) {
	t := s.t
	session, h, done := s.open()
	defer done()
	a, _ := s.Domains()
	s.watch(session, all)
	const before, rounds = 100, 10
	for round := range rounds {
		for range before {
			s.Emit(a.UUID, 2, int32(round))
		}
		s.list(session)
		h.listed(t, round+1)
	}
	_, places := h.listed(t, rounds)
	for i, place := range places {
		if want := before * (i + 1); place != want {
			t.Errorf("listing %d came behind %d observations, want %d", i, place, want)
		}
	}
}

// testSure holds that what happened up to Sure was delivered.
func testSure(s *suite) {
	t := s.t
	session, h, done := s.open()
	defer done()
	a, _ := s.Domains()
	s.watch(session, all)
	if session.Sure().IsZero() {
		return // The driver cannot tell.
	}
	var sent []time.Time
	check := func() {
		t.Helper()
		sure := session.Sure()
		if sure.After(time.Now()) {
			t.Fatalf("Sure is %v, which is to come", sure)
		}
		delivered := len(h.all())
		for i, at := range sent {
			if at.Before(sure) && delivered <= i {
				t.Fatalf("event %d of %v was not delivered, Sure is %v", i, at, sure)
			}
		}
	}
	for i := range int32(200) {
		sent = append(sent, time.Now())
		s.Emit(a.UUID, 2, i)
		check()
		time.Sleep(time.Millisecond)
		check()
	}
	h.wait(t, 200)
}

func testLongName(s *suite) {
	t := s.t
	session, h, done := s.open()
	defer done()
	s.watch(session, all)
	s.EmitLongName()
	if got := h.wait(t, 1)[0]; len(got.Object.Name) < 100 {
		t.Errorf("the long name became %q", got.Object.Name)
	}
}
