package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/virtcast/virtcast/drivers"
	"github.com/virtcast/virtcast/internal/retry"
	"github.com/virtcast/virtcast/schema"
)

var (
	errRefused = permanentError{}
	errCut     = errors.New("cut")

	uuidA = schema.UUID{0xa}
	uuidB = schema.UUID{0xb}

	kindReboot = schema.KindOf(schema.FamilyDomain, 1)
)

type permanentError struct{}

func (permanentError) Error() string {
	return "this function is not supported by the connection driver"
}
func (permanentError) Permanent() bool { return true }

// host is a hypervisor and its driver. It sends each event once if any filter in force
// matches.
type host struct {
	mu      sync.Mutex
	name    string
	down    error
	refuse  map[drivers.Filter]bool
	fail    map[schema.Kind]error // fails to register, for now
	lose    bool                  // the next Watch loses the session
	delay   time.Duration         // of Watch, in which events come already
	history bool                  // sessions resume
	session *hostSession          // the last opened
	opens   int
	resumed []string // the positions that sessions were opened with
}

type hostSession struct {
	host       *host
	connection *schema.Connection
	out        func(drivers.Batch)
	done       chan struct{}
	sure       time.Time
	resumed    bool

	// host.mu guards what follows.
	err     error
	ended   bool
	inForce map[drivers.Filter]bool
}

func (h *host) Open(_ context.Context, p schema.Position, out func(drivers.Batch)) (drivers.Session, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.opens++
	if h.down != nil {
		return nil, h.down
	}
	h.resumed = append(h.resumed, string(p))
	h.session = &hostSession{
		host: h, out: out, done: make(chan struct{}), resumed: h.history && p != nil,
		connection: &schema.Connection{Name: h.name, URI: "fake:///" + h.name, Source: "fake://" + h.name + "/"},
	}
	return h.session, nil
}

func (s *hostSession) Connection() *schema.Connection { return s.connection }
func (s *hostSession) Done() <-chan struct{}          { return s.done }
func (s *hostSession) Sure() time.Time                { return s.sure }
func (s *hostSession) Resumed() bool                  { return s.resumed }

func (s *hostSession) Err() error {
	s.host.mu.Lock()
	defer s.host.mu.Unlock()
	return s.err
}

func (s *hostSession) List(context.Context) error { return nil }

func (s *hostSession) Watch(ctx context.Context, want []drivers.Filter) (missing []drivers.Missing, err error) {
	s.host.mu.Lock()
	delay := s.host.delay
	s.host.mu.Unlock()
	missing, err = s.watch(want)
	if delay > 0 && retry.Sleep(ctx, delay) != nil {
		return nil, ctx.Err()
	}
	return missing, err
}

func (s *hostSession) watch(want []drivers.Filter) (missing []drivers.Missing, err error) {
	s.host.mu.Lock()
	if s.host.lose {
		s.host.lose = false
		s.host.mu.Unlock()
		s.end(errCut)
		return nil, errCut
	}
	defer s.host.mu.Unlock()
	if s.ended {
		return nil, errors.New("session ended")
	}
	inForce := map[drivers.Filter]bool{}
	for _, f := range want {
		switch {
		case s.host.refuse[f]:
			missing = append(missing, drivers.Missing{Filter: f, Err: errRefused})
		case s.host.fail[f.Kind] != nil:
			missing = append(missing, drivers.Missing{Filter: f, Err: s.host.fail[f.Kind]})
		default:
			inForce[f] = true
		}
	}
	s.inForce = inForce
	return missing, nil
}

func (s *hostSession) Close() error {
	s.end(nil)
	return nil
}

func (s *hostSession) end(err error) {
	s.host.mu.Lock()
	defer s.host.mu.Unlock()
	if !s.ended {
		s.ended, s.err, s.inForce = true, err, nil
		close(s.done)
	}
}

func filterName(f drivers.Filter) string {
	if f.Domain.IsZero() {
		return f.Kind.String() + "/all"
	}
	return fmt.Sprintf("%s/%x", f.Kind, f.Domain[0])
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

// setFail makes the host fail to register for a kind, or succeed again with nil.
func (h *host) setFail(kind schema.Kind, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fail = map[schema.Kind]error{kind: err}
}

// filters names what is in force, sorted.
func (h *host) filters() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	names := []string{}
	for f := range h.session.inForce {
		names = append(names, filterName(f))
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
	if s.inForce[drivers.Filter{Kind: kind}] || s.inForce[drivers.Filter{Kind: kind, Domain: domain}] {
		s.deliver(s.observation(kind, domain, detail))
	}
}

// deliver delivers observations.
func (s *hostSession) deliver(observations ...schema.Observation) {
	s.out(drivers.Batch{Observations: observations})
}

func (s *hostSession) observation(kind schema.Kind, domain schema.UUID, detail int32) schema.Observation {
	return schema.Observation{
		Connection: s.connection, Kind: kind, Detail: detail,
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
	// positions are those that became durable, each with the number of records before it.
	positions []string
}

func (j *journal) record(ctx context.Context, batch schema.MatchedBatch) error {
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
	j.records = append(j.records, batch.Matched...)
	if batch.Position != nil {
		j.positions = append(j.positions, fmt.Sprintf("%s after %d", batch.Position, len(j.records)))
	}
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

// lines names what was recorded: the detail of an event, the reason of a gap with its
// loss.
func (j *journal) lines() []string {
	lines := []string{}
	for _, m := range j.all() {
		if m.Listing != nil {
			lines = append(lines, fmt.Sprintf("listing of %d", len(m.Listing.Domains)))
			continue
		}
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

// watch starts a registry with one connection per host, named by it. It must be called in
// a bubble; stop must be called at its end.
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
