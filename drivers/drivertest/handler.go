package drivertest

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/virtcast/virtcast/drivers"
	"github.com/virtcast/virtcast/schema"
)

// handler keeps what a driver delivers, and notes what it does wrong.
type handler struct {
	patience time.Duration
	inside   atomic.Int32
	// more has an element when something came.
	more chan struct{}

	// mu guards what follows.
	mu           sync.Mutex
	observations []schema.Observation
	// listings are the listings, and places how many observations came before each.
	listings []*schema.Listing
	places   []int
	closed   bool
	problems []string
}

func newHandler(patience time.Duration) *handler {
	return &handler{patience: patience, more: make(chan struct{}, 1)}
}

func (h *handler) take(delivered drivers.Batch) {
	batch := delivered.Observations
	concurrent := h.inside.Add(1) != 1
	defer h.inside.Add(-1)
	runtime.Gosched() // Let a second caller in, if there is one.
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
			h.problems = append(h.problems, "an observation that claims not to be one: "+line(*o))
		case len(o.Object.Name) > drivers.MaxText || len(o.Payload) > drivers.MaxPayload:
			h.problems = append(h.problems, fmt.Sprintf("a name of %d bytes and a payload of %d (11)", len(o.Object.Name), len(o.Payload)))
		}
	}
	if len(delivered.Position) > schema.MaxPosition {
		h.problems = append(h.problems, "a position that is too long (10)")
	}
	h.observations = append(h.observations, batch...)
	if l := delivered.Listing; l != nil {
		h.listings = append(h.listings, l)
		h.places = append(h.places, len(h.observations))
	}
	// The slice belongs to the driver; what is done to it here must not matter.
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

// listed waits until n listings came, and returns them and how many observations came
// before each.
func (h *handler) listed(t *testing.T, n int) (listings []*schema.Listing, places []int) {
	t.Helper()
	timeout := time.NewTimer(h.patience)
	defer timeout.Stop()
	for {
		h.mu.Lock()
		listings, places = slices.Clone(h.listings), slices.Clone(h.places)
		h.mu.Unlock()
		if len(listings) >= n {
			return listings, places
		}
		select {
		case <-h.more:
		case <-timeout.C:
			t.Fatalf("got %d listings, want %d", len(listings), n)
		}
	}
}

func (h *handler) lines() []string { return names(h.all()) }

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
