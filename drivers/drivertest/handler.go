package drivertest

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/virtcast/virtcast/schema"
)

// handler keeps what a driver observes, and notes what it does wrong.
type handler struct {
	patience time.Duration
	inside   atomic.Int32
	// more has an element when something came.
	more chan struct{}

	// mu guards what follows.
	mu           sync.Mutex
	observations []schema.Observation
	closed       bool
	problems     []string
}

func newHandler(patience time.Duration) *handler {
	return &handler{patience: patience, more: make(chan struct{}, 1)}
}

func (h *handler) observe(batch []schema.Observation) {
	concurrent := h.inside.Add(1) != 1
	defer h.inside.Add(-1)
	h.mu.Lock()
	defer h.mu.Unlock()
	if concurrent {
		h.problems = append(h.problems, "two calls at the same time (3)")
	}
	if h.closed {
		h.problems = append(h.problems, "a call after the session was done (7)")
	}
	for i := range batch {
		o := &batch[i]
		switch {
		case o.Connection == nil || o.Received.IsZero():
			h.problems = append(h.problems, "an observation without connection or time: "+line(*o))
		case o.Received.Location() != time.UTC:
			h.problems = append(h.problems, "a time that is not in UTC: "+line(*o))
		case o.Synthetic || o.Gap != nil || !o.UnobservedSince.IsZero():
			h.problems = append(h.problems, "an observation that says it was not observed: "+line(*o))
		}
	}
	h.observations = append(h.observations, batch...)
	// The slice belongs to the driver; what a handler does to it must not matter.
	clear(batch)
	select {
	case h.more <- struct{}{}:
	default:
	}
}

// close says that no more calls are legal.
func (h *handler) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
}

// report reports what was noted.
func (h *handler) report(t *testing.T) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, problem := range h.problems {
		t.Error(problem)
	}
	h.problems = nil
}

func (h *handler) all() []schema.Observation {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.observations)
}

func (h *handler) lines() []string {
	all := h.all()
	lines := make([]string, 0, len(all))
	for _, o := range all {
		lines = append(lines, line(o))
	}
	return lines
}

// wait waits until at least n observations came, and returns them all.
func (h *handler) wait(t *testing.T, n int) []schema.Observation {
	t.Helper()
	timeout := time.NewTimer(h.patience)
	defer timeout.Stop()
	for {
		if all := h.all(); len(all) >= n {
			return all
		}
		select {
		case <-h.more:
		case <-timeout.C:
			t.Fatalf("got %d observations, want %d: %q", len(h.all()), n, h.lines())
		}
	}
}

// sentinel sends an event that tells that all before it has come, and waits for it.
func (h *handler) sentinel(s *suite, domain schema.UUID) []schema.Observation {
	s.t.Helper()
	const event = 7777
	s.Emit(domain, event, 0)
	timeout := time.NewTimer(h.patience)
	defer timeout.Stop()
	for {
		all := h.all()
		for i := range all {
			if all[i].Event == event {
				return all[:i]
			}
		}
		select {
		case <-h.more:
		case <-timeout.C:
			s.t.Fatalf("the last event did not come; came %q", h.lines())
		}
	}
}
