package drivertest

import (
	"context"
	"time"
)

func testIdentity(s *suite) {
	t := s.t
	session, _, done := s.open()
	defer done()
	c := session.Connection()
	if c == nil {
		t.Fatal("Connection is nil")
	}
	if c.Name == "" || c.URI == "" || c.Source == "" {
		t.Errorf("the identity is not whole: %+v", *c)
	}
	for _, r := range c.Source {
		if r <= ' ' || r > '~' || r == '"' || r == '%' {
			t.Errorf("source %q has the character %q", c.Source, r)
		}
	}
	if again := session.Connection(); again != c {
		t.Error("the second Connection is another pointer")
	}
	if err := session.Err(); err != nil {
		t.Errorf("Err of an open session: %v", err)
	}
	s.watch(session, all)
}

func testOpenRefused(s *suite) {
	t := s.t
	s.Refuse(true)
	before := s.Connections()
	ctx, cancel := context.WithTimeout(t.Context(), s.patience)
	defer cancel()
	h := newHandler(s.patience)
	session, err := s.driver.Open(ctx, nil, h.take)
	if err == nil || session != nil {
		t.Errorf("Open = %v, %v, want nil and an error", session, err)
	}
	if ctx.Err() != nil {
		t.Error("Open did not return before its context ended")
	}
	if n := s.Connections() - before; n > 1 {
		t.Errorf("Open tried %d times, want once", n)
	}
	s.Refuse(false)
	_, _, done := s.open()
	done()
}

func testOpenContext(s *suite) {
	t := s.t
	s.Mute()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	session, err := s.driver.Open(ctx, nil, newHandler(s.patience).take)
	if err == nil || session != nil {
		t.Errorf("Open = %v, %v, want nil and an error", session, err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("Open returned %v after its context ended", took)
	}
}

func testOpenContextEndsLater(s *suite) {
	t := s.t
	ctx, cancel := context.WithCancel(t.Context())
	h := newHandler(s.patience)
	session, err := s.driver.Open(ctx, nil, h.take)
	cancel()
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	time.Sleep(20 * time.Millisecond) // Time for what must not happen.
	a, _ := s.Domains()
	s.watch(session, all)
	s.Emit(a.UUID, 2, 0)
	h.wait(t, 1)
	if err := session.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func testReadOnly(s *suite) {
	t := s.t
	_, _, done := s.open()
	defer done()
	peers := s.Sessions()
	if len(peers) != 1 {
		t.Fatalf("the hypervisor has %d sessions, want 1", len(peers))
	}
	if !peers[0].ReadOnly {
		t.Error("the session may write")
	}
}
