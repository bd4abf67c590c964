package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"golang.org/x/sync/errgroup"
)

// arrival has the members of an event, or of a state from a store, that a reader looks
// at.
type arrival struct {
	uuid, epoch string
	sequence    uint64 // the domain's
	// what and detail are an event's.
	what, detail string
	// The rest is a state's; persistent is nil where that is not known.
	gone          bool
	state, reason string
	persistent    *bool
	connection    string
}

// newArrival decodes a message with the SDK, in either content mode. A message without
// data tells that the domain is gone.
func newArrival(contentType string, attributes map[string]string, data []byte) (arrival, error) {
	var e event.Event
	var err error
	if strings.HasPrefix(contentType, event.ApplicationCloudEventsJSON) {
		err = json.Unmarshal(data, &e)
	} else {
		e, err = fromBinary(attributes, data)
	}
	if err = errors.Join(err, e.Validate()); err != nil {
		return arrival{}, fmt.Errorf("%q: %w", data, err)
	}
	a := arrival{uuid: e.Subject(), gone: len(data) == 0}
	a.epoch, _ = e.Extensions()["epoch"].(string)
	a.connection, _ = e.Extensions()["connection"].(string)
	sequence, _ := e.Extensions()["domainsequence"].(string)
	if a.sequence, err = strconv.ParseUint(sequence, 10, 64); err != nil {
		return a, fmt.Errorf("%s: domainsequence: %w", e.ID(), err)
	}
	if a.gone {
		return a, nil
	}
	var fields struct {
		Event, Detail, State, Reason string
		Persistent                   *bool
	}
	if err := e.DataAs(&fields); err != nil {
		return a, fmt.Errorf("data of %s: %w", e.ID(), err)
	}
	a.what, a.detail = fields.Event, fields.Detail
	a.state, a.reason, a.persistent = fields.State, fields.Reason, fields.Persistent
	return a, nil
}

// known is a reader's knowledge of a domain.
type known struct {
	epoch      string
	sequence   uint64
	exists     bool
	state      string
	persistent bool
}

// apply takes in the domain's next event, as any consumer would.
func (k *known) apply(a arrival) {
	k.epoch, k.sequence = a.epoch, a.sequence
	runs := k.exists && k.state != "shutoff"
	switch a.what {
	case "defined":
		if k.persistent = true; !k.exists {
			k.exists, k.state = true, "shutoff"
		}
	case "undefined":
		if a.detail == "removed" {
			k.persistent, k.exists = false, runs
		}
	case "started", "resumed":
		k.exists, k.state = true, "running"
	case "suspended":
		k.state = "paused"
	case "shutdown", "pmsuspended", "crashed":
		k.state = a.what
	case "stopped":
		k.state, k.exists = "shutoff", k.persistent
	}
}

// take takes in a state from the store.
func (k *known) take(a arrival) {
	*k = known{epoch: a.epoch, sequence: a.sequence, exists: !a.gone, state: a.state}
	k.persistent = a.persistent != nil && *a.persistent
}

// before reports whether k is older than an event or a state.
func (k *known) before(a arrival) bool {
	return a.epoch > k.epoch || a.epoch == k.epoch && a.sequence > k.sequence
}

// precedes reports whether an event is the next after k.
func (k *known) precedes(a arrival) bool {
	return a.epoch == k.epoch && a.sequence == k.sequence+1 || a.epoch > k.epoch && a.sequence == 1
}

// joiner is a reader that comes late: the recipe of docs/state.md.
type joiner struct {
	mu      sync.Mutex
	domains map[string]*known
	waiting map[string][]arrival // behind a hole, by domain, in order
	// holes counts the events that had to wait. states counts the states from the store
	// that were news.
	holes, states int
	// differs has the places where a domain's state in the store contradicts the events up
	// to the same sequence.
	differs []string
}

func newJoiner() *joiner {
	return &joiner{domains: map[string]*known{}, waiting: map[string][]arrival{}}
}

func (j *joiner) known(uuid string) *known {
	k := j.domains[uuid]
	if k == nil {
		k = &known{}
		j.domains[uuid] = k
	}
	return k
}

// event takes in an event.
func (j *joiner) event(a arrival) {
	j.mu.Lock()
	defer j.mu.Unlock()
	k := j.known(a.uuid)
	switch {
	case !k.before(a): // It is in the state.
	case k.precedes(a) && len(j.waiting[a.uuid]) == 0:
		k.apply(a)
	default:
		j.holes++
		j.waiting[a.uuid] = append(j.waiting[a.uuid], a)
	}
}

// stored takes in a domain's state from the store.
func (j *joiner) stored(a arrival) {
	j.mu.Lock()
	defer j.mu.Unlock()
	k := j.known(a.uuid)
	if a.epoch == k.epoch && a.sequence == k.sequence {
		var same known
		same.take(a)
		if same.exists != k.exists || same.exists && same != *k {
			j.differs = append(j.differs, fmt.Sprintf("%s: the store has %+v, the events %+v", a.uuid, same, *k))
		}
	}
	if !k.before(a) {
		return
	}
	j.states++
	k.take(a)
	waiting := j.waiting[a.uuid]
	for len(waiting) > 0 && (!k.before(waiting[0]) || k.precedes(waiting[0])) {
		if k.before(waiting[0]) {
			k.apply(waiting[0])
		}
		waiting = waiting[1:]
	}
	if j.waiting[a.uuid] = waiting; len(waiting) == 0 {
		delete(j.waiting, a.uuid)
	}
}

// world returns the domains that exist, or an error if an event waits behind a hole.
func (j *joiner) world() (map[string]known, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	all := map[string]known{}
	for uuid, k := range j.domains {
		if k.exists {
			all[uuid] = *k
		}
	}
	if len(j.waiting) > 0 {
		return all, fmt.Errorf("events wait behind a hole: %v", slices.Collect(maps.Keys(j.waiting)))
	}
	if len(j.differs) > 0 {
		return all, fmt.Errorf("%d times, the store and the events differ: %s", len(j.differs), j.differs[0])
	}
	return all, nil
}

// follower brings messages until ctx ends, and is the only one that calls handle.
type follower func(ctx context.Context, handle func(arrival)) error

// delayed brings the messages of f, each later by lag, as if the store were behind by lag.
func delayed(f follower, lag time.Duration) follower {
	type late struct {
		arrival
		due time.Time
	}
	return func(ctx context.Context, handle func(arrival)) error {
		queue := make(chan late, 1<<16) // a slower reader waits
		group, ctx := errgroup.WithContext(ctx)
		group.Go(func() error {
			defer close(queue)
			return f(ctx, func(a arrival) { queue <- late{a, time.Now().Add(lag)} })
		})
		for a := range queue {
			time.Sleep(time.Until(a.due))
			handle(a.arrival)
		}
		return group.Wait()
	}
}

// bus is a broker with its events, and the state store beside them. events subscribes to
// all events or to those from now on; states subscribes to the stored states and then to
// new ones.
type bus struct {
	name   string
	events func(t *testing.T, all bool) follower
	states func(t *testing.T) follower
}

// join makes a late reader, which reads until ctx ends. It sees the store as it was lag
// ago.
func (b bus) join(ctx context.Context, t *testing.T, group *errgroup.Group, lag time.Duration) *joiner {
	t.Helper()
	j := newJoiner()
	if lag == 0 {
		events, states := b.events(t, false), b.states(t)
		group.Go(func() error { return events(ctx, j.event) })
		group.Go(func() error { return states(ctx, j.stored) })
		return j
	}
	states := delayed(b.states(t), lag)
	group.Go(func() error { return states(ctx, j.stored) })
	time.Sleep(lag)
	events := b.events(t, false)
	group.Go(func() error { return events(ctx, j.event) })
	return j
}

// readAll makes a reader of all events from the beginning, which needs no store.
func (b bus) readAll(ctx context.Context, t *testing.T, group *errgroup.Group) *joiner {
	t.Helper()
	j, events := newJoiner(), b.events(t, true)
	group.Go(func() error { return events(ctx, j.event) })
	return j
}
