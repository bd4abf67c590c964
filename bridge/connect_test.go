package bridge_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/virtcast/virtcast/bridge"
	"github.com/virtcast/virtcast/bridge/journal"
	"github.com/virtcast/virtcast/schema"
)

// shy is a sink that must be asked three times before it can be connected.
type shy struct {
	*memory
	mu    sync.Mutex
	calls []string
}

func (s *shy) note(call string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, call)
	return len(s.calls)
}

func (s *shy) Connect(context.Context) error {
	if s.note("connect") < 3 {
		return errors.New("not now")
	}
	return nil
}

func (s *shy) Deliver(ctx context.Context, events []schema.Event, outcome func(int, error)) error {
	s.note("deliver")
	return s.memory.Deliver(ctx, events, outcome)
}

// A sink that can be connected is, before the first event comes and for as long as it
// takes; only then is anything delivered.
func TestConnect(t *testing.T) {
	s := &shy{memory: newMemory()}
	r := start(t, t.TempDir(), journal.Options{}, bridge.Options{}, map[string]bridge.Sink{"shy": s})
	record(t, r.Bridge, observe(0, 1))
	s.await(t, 1)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if want := []string{"connect", "connect", "connect", "deliver"}; !slices.Equal(s.calls, want) {
		t.Errorf("calls %v, want %v", s.calls, want)
	}
}
