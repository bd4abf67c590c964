package drivertest

import (
	"context"
	"time"

	"github.com/virtcast/virtcast/drivers"
)

func testDerailed(s *suite) {
	t := s.t
	session, _, done := s.open()
	defer done()
	s.watch(session, all)
	s.Derail()
	// At the latest, the peer does not answer any more.
	s.await(session, s.patience+s.silence)
	if session.Err() == nil {
		t.Error("Err is nil after the stream was out of step")
	}
}

func testSilence(s *suite) {
	t := s.t
	session, _, done := s.open()
	defer done()
	s.watch(session, all)
	s.Stall()
	began := time.Now()
	s.await(session, s.silence+s.patience)
	// Half as much again, and a second, for a busy machine.
	if took, limit := time.Since(began), s.silence*3/2+time.Second; took > limit {
		t.Errorf("a dead peer was noticed after %v, want within %v", took, s.silence)
	}
	if session.Err() == nil {
		t.Error("Err is nil after the peer fell silent")
	}
	if at := session.Sure(); at.After(began.Add(time.Second)) {
		t.Errorf("Sure is %v, the peer fell silent at %v", at, began)
	}
}

// over checks a session that has ended.
func (s *suite) over(session drivers.Session, h *handler) {
	t := s.t
	t.Helper()
	h.close()
	ctx, cancel := context.WithTimeout(t.Context(), s.patience)
	defer cancel()
	for _, want := range [][]drivers.Filter{{all}, nil} {
		if _, err := session.Watch(ctx, want); err == nil {
			t.Errorf("Watch(%v) succeeded on a session that is over", want)
		}
	}
	if err := session.List(ctx); err == nil {
		t.Error("List succeeded on a session that is over")
	}
	if ctx.Err() != nil {
		t.Error("a call on a session that is over waited for its context")
	}
	a, _ := s.Domains()
	s.Emit(a.UUID, 2, 1)
	for range 2 {
		if err := session.Close(); err != nil {
			t.Errorf("Close of a session that is over: %v", err)
		}
	}
	time.Sleep(20 * time.Millisecond) // Time for what must not come.
	h.report(t)
}

func testClose(s *suite) {
	t := s.t
	session, h, _ := s.open()
	s.watch(session, all)
	a, _ := s.Domains()
	s.Emit(a.UUID, 2, 1)
	if err := session.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	select {
	case <-session.Done():
	default:
		t.Error("Done is not closed after Close")
	}
	if err := session.Err(); err != nil {
		t.Errorf("Err after Close: %v", err)
	}
	s.over(session, h)
}

func testLoss(s *suite) {
	t := s.t
	session, h, _ := s.open()
	s.watch(session, all)
	s.Cut()
	s.await(session, s.patience)
	if session.Err() == nil {
		t.Error("Err is nil after a loss")
	}
	s.over(session, h)
	if session.Err() == nil {
		t.Error("Err is nil after a loss and Close")
	}
}

func testCallInFlight(s *suite) {
	t := s.t
	session, h, _ := s.open()
	s.Stall()
	failed := make(chan error, 1)
	go func() {
		_, err := session.Watch(t.Context(), []drivers.Filter{all})
		failed <- err
	}()
	time.Sleep(10 * time.Millisecond)
	s.Cut()
	select {
	case err := <-failed:
		if err == nil {
			t.Error("a call succeeded on a session that was lost")
		}
	case <-time.After(s.patience):
		t.Fatal("a call was not ended by the loss of the session")
	}
	s.await(session, s.patience)
	s.over(session, h)
}

func testOpenAgain(s *suite) {
	t := s.t
	a, _ := s.Domains()
	for i := range int32(3) {
		session, h, _ := s.open()
		s.watch(session, all)
		s.Emit(a.UUID, 2, i)
		if got := h.wait(t, 1)[0]; got.Detail != i {
			t.Errorf("session %d observed %s", i, line(got))
		}
		s.Cut()
		s.await(session, s.patience)
		s.over(session, h)
	}
}
