package drivertest

import (
	"context"
	"time"

	"github.com/virtcast/virtcast/schema"
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
	s.register(session, nil)
}

func testOpenRefused(s *suite) {
	t := s.t
	s.Refuse(true)
	before := s.Connections()
	ctx, cancel := context.WithTimeout(t.Context(), s.patience)
	defer cancel()
	h := newHandler(s.patience)
	session, err := s.driver.Open(ctx, h.observe)
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
	session, err := s.driver.Open(ctx, newHandler(s.patience).observe)
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
	session, err := s.driver.Open(ctx, h.observe)
	cancel()
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	time.Sleep(20 * time.Millisecond) // Time for what must not happen.
	a, _ := s.Domains()
	id := s.register(session, nil)
	s.Emit(a.UUID, 2, 0)
	if got := h.wait(t, 1); got[0].CallbackID != id {
		t.Errorf("got %s, want callback %d", line(got[0]), id)
	}
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

func testDomains(s *suite) {
	t := s.t
	session, _, done := s.open()
	defer done()
	ctx, cancel := context.WithTimeout(t.Context(), s.patience)
	defer cancel()
	states, err := session.Domains(ctx)
	if err != nil {
		t.Fatalf("Domains: %v", err)
	}
	listed := map[schema.UUID]schema.ListedDomain{}
	for _, state := range states {
		if _, twice := listed[state.UUID]; twice {
			t.Errorf("domain %s is listed twice", state.UUID)
		}
		listed[state.UUID] = state
	}
	a, b := s.Domains()
	for _, want := range []schema.Object{a, b} {
		got, ok := listed[want.UUID]
		if !ok || got.Name != want.Name || got.State == 0 {
			t.Errorf("domain %s is listed as %+v (%v), want the name %q and a state", want.UUID, got, ok, want.Name)
		}
	}
}
