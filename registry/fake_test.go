package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/virtcast/virtcast/schema"
)

var (
	errRefused = errors.New("this function is not supported by the connection driver")
	errCut     = errors.New("cut")

	uuidA = schema.UUID{0xa}
	uuidB = schema.UUID{0xb}

	kindReboot = schema.KindOf(schema.FamilyDomain, 1)
)

// host is a hypervisor and its driver. It sends each event once for every matching callback, in the order
// of their registration.
type host struct {
	mu      sync.Mutex
	name    string
	down    error
	refuse  map[schema.Kind]bool
	delay   time.Duration // of RegisterAny
	session *hostSession  // the last opened
	opens   int
}

type hostCallback struct {
	id     int32
	kind   schema.Kind
	domain *schema.UUID
}

type hostSession struct {
	host       *host
	connection *schema.Connection
	observe    func([]schema.Observation)
	done       chan struct{}
	heard      time.Time

	// host.mu guards what follows.
	err       error
	ended     bool
	nextID    int32
	callbacks []hostCallback
}

func (h *host) Open(_ context.Context, observe func([]schema.Observation)) (Session, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.opens++
	if h.down != nil {
		return nil, h.down
	}
	h.session = &hostSession{
		host: h, observe: observe, done: make(chan struct{}),
		connection: &schema.Connection{Name: h.name, URI: "fake:///" + h.name, Source: "fake://" + h.name + "/"},
	}
	return h.session, nil
}

func (s *hostSession) Connection() *schema.Connection { return s.connection }
func (s *hostSession) Done() <-chan struct{}          { return s.done }
func (s *hostSession) LastHeard() time.Time           { return s.heard }

func (s *hostSession) Err() error {
	s.host.mu.Lock()
	defer s.host.mu.Unlock()
	return s.err
}

func (s *hostSession) Domains(context.Context) ([]schema.ListedDomain, error) { return nil, nil }

func (s *hostSession) RegisterAny(ctx context.Context, kind schema.Kind, domain *schema.UUID) (int32, error) {
	s.host.mu.Lock()
	delay := s.host.delay
	s.host.mu.Unlock()
	if delay > 0 && !sleep(ctx, delay) {
		return 0, ctx.Err()
	}
	s.host.mu.Lock()
	defer s.host.mu.Unlock()
	if s.ended {
		return 0, errors.New("session ended")
	}
	if s.host.refuse[kind] {
		return 0, errRefused
	}
	for _, c := range s.callbacks {
		if callbackName(c.kind, c.domain) == callbackName(kind, domain) {
			return 0, errors.New("event callback already tracked")
		}
	}
	if domain != nil {
		uuid := *domain
		domain = &uuid
	}
	id := s.nextID
	s.nextID++
	s.callbacks = append(s.callbacks, hostCallback{id, kind, domain})
	return id, nil
}

func (s *hostSession) DeregisterAny(_ context.Context, kind schema.Kind, id int32) error {
	s.host.mu.Lock()
	defer s.host.mu.Unlock()
	if s.ended {
		return errors.New("session ended")
	}
	for i, c := range s.callbacks {
		if c.id == id && c.kind == kind {
			s.callbacks = slices.Delete(s.callbacks, i, i+1)
			return nil
		}
	}
	return fmt.Errorf("domain event callback %d not registered", id)
}

func (s *hostSession) Close() error {
	s.end(nil)
	return nil
}

func (s *hostSession) end(err error) {
	s.host.mu.Lock()
	defer s.host.mu.Unlock()
	if !s.ended {
		s.ended, s.err, s.callbacks = true, err, nil
		close(s.done)
	}
}

func callbackName(kind schema.Kind, domain *schema.UUID) string {
	if domain == nil {
		return kind.String() + "/all"
	}
	return fmt.Sprintf("%s/%x", kind, domain[0])
}

// cut loses the session.
func (h *host) cut() { h.current().end(errCut) }

func (h *host) current() *hostSession {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.session
}

func (h *host) setDown(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.down = err
}

func (h *host) setDelay(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.delay = d
}

// over reports whether the last session has ended.
func (h *host) over() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.session.ended
}

// callbacks names what is registered, sorted.
func (h *host) callbacks() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	names := []string{}
	for _, c := range h.session.callbacks {
		names = append(names, callbackName(c.kind, c.domain))
	}
	slices.Sort(names)
	return names
}

// emit sends an event. detail tells events apart.
func (h *host) emit(kind schema.Kind, domain schema.UUID, detail int32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.session
	if s == nil || s.ended {
		return
	}
	for _, c := range s.callbacks {
		if c.kind == kind && (c.domain == nil || *c.domain == domain) {
			s.observe([]schema.Observation{s.observation(c.id, kind, domain, detail)})
		}
	}
}

func (s *hostSession) observation(id int32, kind schema.Kind, domain schema.UUID, detail int32) schema.Observation {
	return schema.Observation{
		Connection: s.connection, Kind: kind, CallbackID: id, Detail: detail,
		Object: schema.Object{UUID: domain, Name: "d", ID: 1}, Received: time.Now().UTC(),
	}
}

// journal is what Options.Record writes to.
type journal struct {
	mu      sync.Mutex
	fail    error
	gate    chan struct{} // if not nil, Record waits for it
	batches int
	records []schema.Matched
}

func (j *journal) record(ctx context.Context, batch []schema.Matched) error {
	j.mu.Lock()
	gate := j.gate
	j.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.fail != nil {
		return j.fail
	}
	j.batches++
	j.records = append(j.records, batch...)
	return nil
}

func (j *journal) setFail(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.fail = err
}

func (j *journal) all() []schema.Matched {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.records)
}

// lines names what was recorded: the detail of an event, the reason of a gap with its loss.
func (j *journal) lines() []string {
	lines := []string{}
	for _, m := range j.all() {
		lines = append(lines, line(m.Observation))
	}
	return lines
}

func line(o schema.Observation) string {
	if o.Gap != nil {
		return fmt.Sprintf("gap %s %d", o.Gap.Reason, o.Gap.Lost)
	}
	return fmt.Sprintf("%s %x %d", o.Kind, o.Object.UUID[0], o.Detail)
}

// watching runs a registry with hosts for the duration of a test in a synctest bubble.
type watching struct {
	*Registry
	t       *testing.T
	journal *journal
	cancel  context.CancelFunc
	ended   chan error
}

// watch starts a registry with one connection per host, named by it. It must be called in a
// bubble; stop must be called at its end.
func watch(t *testing.T, opts Options, hosts ...*host) *watching {
	t.Helper()
	w := &watching{t: t, journal: &journal{}, ended: make(chan error, 1)}
	if opts.Record == nil {
		opts.Record = w.journal.record
	}
	w.Registry = New(opts)
	for _, h := range hosts {
		if err := w.AddConnection(Connection{Name: h.name, Driver: h}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	w.cancel = cancel
	go func() { w.ended <- w.Run(ctx) }()
	return w
}

// stop ends Run and waits for it.
func (w *watching) stop() {
	w.t.Helper()
	w.cancel()
	if err := <-w.ended; err != nil {
		w.t.Errorf("Run: %v", err)
	}
	w.balanced()
}

// balanced checks the sum that must hold at any moment.
func (w *watching) balanced() {
	w.t.Helper()
	for _, s := range w.Stats() {
		if sum := s.Recorded + s.Observed + s.Unmatched + s.Queued + s.Lost; s.Received != sum {
			w.t.Errorf("received %d, but recorded %d + observed %d + unmatched %d + queued %d + lost %d = %d",
				s.Received, s.Recorded, s.Observed, s.Unmatched, s.Queued, s.Lost, sum)
		}
	}
}

// stat returns the figures of one connection.
func (w *watching) stat(name string) Stats {
	w.t.Helper()
	for _, s := range w.Stats() {
		if s.Connection == name {
			return s
		}
	}
	w.t.Fatalf("no connection %s", name)
	return Stats{}
}

// register registers and must succeed.
func (w *watching) register(reg Registration) ID {
	w.t.Helper()
	id, err := w.RegisterAny(reg)
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// deregister deregisters and must succeed.
func (w *watching) deregister(id ID) {
	w.t.Helper()
	if err := w.DeregisterAny(id); err != nil {
		w.t.Fatal(err)
	}
}

// lifecycle is a registration for lifecycle events and every sink.
func lifecycle() Registration { return Registration{Kinds: []schema.Kind{schema.KindLifecycle}} }

// settled waits until wire registrations have followed.
func settled() {
	synctest.Wait()
	time.Sleep(2 * settle)
	synctest.Wait()
}

// spy is a callback that notes what it sees.
type spy struct {
	mu   sync.Mutex
	seen []string
	then func(schema.Observation)
}

func (s *spy) Observe(o schema.Observation) {
	s.mu.Lock()
	s.seen = append(s.seen, line(o))
	then := s.then
	s.mu.Unlock()
	if then != nil {
		then(o)
	}
}

func (s *spy) lines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.seen...)
}
