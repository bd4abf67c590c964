package registry

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/virtcast/virtcast/drivers"
	"github.com/virtcast/virtcast/schema"
)

// Registry holds registrations and the live set of connections. Its methods may be called
// at any time, from any goroutine, also inside a callback.
type Registry struct {
	opts    Options
	pool    chunkPool
	budget  budget
	scratch sync.Pool // of *scratch
	trouble *trouble
	// metricsErr is why the metrics were refused; Run returns it.
	metricsErr error

	// list is every registration, in order of ID. The slice is never changed: a new one
	// is stored, under mu. What was derived from it is stale when the address is another.
	list atomic.Pointer[[]*entry]

	// mu guards what follows. No other lock is taken while it is held.
	mu          sync.Mutex
	nextID      ID
	connections map[string]*connection
	// start runs a connection in the context of Run; nil before Run.
	start func(*connection)
	ran   bool
	ended bool
}

// New returns a registry without connections or registrations. It starts nothing.
func New(opts Options) *Registry {
	r := &Registry{opts: opts.withDefaults(), connections: map[string]*connection{}}
	r.budget.limit = int64(r.opts.TotalBytes)
	r.pool.New = func() any { return new(chunk) }
	r.scratch.New = func() any { return new(scratch) }
	r.trouble = newTrouble(r.opts.Logger)
	r.list.Store(new([]*entry))
	if opts.Registerer != nil {
		if err := opts.Registerer.Register(&collector{r}); err != nil {
			r.metricsErr = fmt.Errorf("register metrics: %w", err)
		}
	}
	return r
}

// Connection is a hypervisor to watch.
type Connection struct {
	// Name is [a-z0-9-]+, unique in the registry.
	Name string
	// Driver opens its sessions.
	Driver drivers.Driver
}

var connectionName = regexp.MustCompile(`^[a-z0-9-]+$`)

// AddConnection adds a connection, and starts watching it if Run runs. It does not wait
// for the hypervisor. It fails for a name that is not [a-z0-9-]+ or is taken, and after
// Run.
func (r *Registry) AddConnection(add Connection) error {
	switch {
	case !connectionName.MatchString(add.Name):
		return fmt.Errorf("connection name %q: want [a-z0-9-]+", add.Name)
	case add.Driver == nil:
		return fmt.Errorf("connection %s: no driver", add.Name)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return fmt.Errorf("connection %s: the registry has stopped", add.Name)
	}
	if r.connections[add.Name] != nil {
		return fmt.Errorf("connection %s: the name is taken", add.Name)
	}
	c := newConnection(r, add)
	r.connections[add.Name] = c
	if r.start != nil {
		r.start(c)
	}
	return nil
}

// RegisterAny adds a registration and returns its ID. It does not wait for any
// hypervisor: sessions that are open ask theirs for what is new, in the background, and
// later ones ask for it when they open. It takes effect with the next batch that a
// connection's recorder takes up; observations that were taken up before are not seen.
//
// It fails for a registration that makes no sense, and with [ErrTracked]; then Release is
// not called.
func (r *Registry) RegisterAny(reg Registration) (ID, error) {
	if err := reg.validate(); err != nil {
		return -1, fmt.Errorf("register: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	e := newEntry(r.nextID, &reg)
	old := *r.list.Load()
	for _, other := range old {
		if e.repeats(other) {
			return -1, fmt.Errorf("register: %w, as registration %d", ErrTracked, other.id)
		}
	}
	r.nextID++
	list := append(slices.Clip(old), e)
	r.list.Store(&list)
	r.notify(e)
	return e.id, nil
}

// DeregisterAny ends a registration: observations that are queued are not seen by it, nor
// is the one that is being dispatched, unless the callback is called already; then
// Release follows the call. Sessions that are open stop asking their hypervisor for what
// nobody wants, in the background.
//
// Release is called before DeregisterAny returns, unless a connection is just calling
// callbacks for an observation that the registration matches (so in particular inside a
// callback): then that connection calls it when it has called them.
//
// It fails with [ErrNotRegistered] for an ID that was never given or is gone.
func (r *Registry) DeregisterAny(id ID) error {
	e, err := r.remove(id)
	if err != nil {
		return err
	}
	e.release() // Without mu: Release may call the registry.
	return nil
}

func (r *Registry) remove(id ID) (*entry, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := *r.list.Load()
	i, found := slices.BinarySearchFunc(old, id, func(e *entry, id ID) int { return int(e.id - id) })
	if !found {
		return nil, fmt.Errorf("deregister %d: %w", id, ErrNotRegistered)
	}
	e := old[i]
	e.gone.Store(true)
	list := slices.Concat(old[:i], old[i+1:])
	r.list.Store(&list)
	r.notify(e)
	return e, nil
}

// SendsTo reports whether any events about that domain on that connection would go to the
// sink of that name, as the registrations are now.
func (r *Registry) SendsTo(sink, connection string, domain schema.UUID) bool {
	ofDomains := func(k schema.Kind) bool { return k.Family() == schema.FamilyDomain }
	for _, e := range *r.list.Load() {
		if e.selects(connection) && (e.Domain == nil || *e.Domain == domain) &&
			(e.Sinks == nil || slices.Contains(e.Sinks, sink)) && slices.ContainsFunc(e.Kinds, ofDomains) {
			return true
		}
	}
	return false
}

// notify tells the connections that e selects that what they want may have changed. The
// caller holds mu.
func (r *Registry) notify(e *entry) {
	for name, c := range r.connections {
		if e.selects(name) {
			c.notify()
		}
	}
}

// Run watches every connection until ctx ends. Then it closes the sessions, goes on
// recording what is queued for at most [Options.DrainTimeout], counts and logs as lost
// what is left, waits for every goroutine and returns nil. Callbacks of live
// registrations are not released by it. It may be called once.
func (r *Registry) Run(ctx context.Context) error {
	if r.metricsErr != nil {
		return r.metricsErr
	}
	// Recording outlives ctx by the drain timeout.
	recordCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var running sync.WaitGroup
	connections, err := r.startAll(func(c *connection) {
		running.Go(func() { c.run(ctx, recordCtx) })
	})
	if err != nil {
		return err
	}
	r.opts.Logger.InfoContext(ctx, "watching", keyConnections, connections)
	<-ctx.Done()
	r.mu.Lock()
	r.start, r.ended = nil, true
	r.mu.Unlock()
	deadline := time.AfterFunc(r.opts.DrainTimeout, cancel)
	defer deadline.Stop()
	running.Wait()
	return nil
}

// startAll starts every connection, and from now on those that are added.
func (r *Registry) startAll(start func(*connection)) (connections int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ran {
		return 0, errors.New("the registry has run already")
	}
	r.ran = true
	r.start = start
	for _, c := range r.connections {
		start(c)
	}
	return len(r.connections), nil
}
