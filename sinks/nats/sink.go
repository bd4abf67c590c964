package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/virtcast/virtcast/internal/retry"
	"github.com/virtcast/virtcast/internal/tlsfiles"
	"github.com/virtcast/virtcast/schema"
)

// ErrClosed is returned by every method after Close.
var ErrClosed = errors.New("nats sink is closed")

// maxHeader is the largest header block that a stream stores.
const maxHeader = 65535

// Options is what the program gives to a sink. The zero value works.
type Options struct {
	// Logger logs connections and advice about the stream; nil means silence. Errors are
	// returned, not logged.
	Logger *slog.Logger
	// Registerer gets the metrics; nil means none. Give each sink its own, with a label
	// of its name (prometheus.WrapRegistererWith).
	Registerer prometheus.Registerer
}

// Sink delivers events to one NATS server or cluster. It is a bridge.Connector. Deliver
// must not be called concurrently; everything else may be.
type Sink struct {
	cfg     Config
	bucket  string // of states, whose stream is cfg.Stream; "" for a stream of events
	subject *subject
	files   *tlsfiles.Files
	servers *servers
	log     *slog.Logger
	metrics *metrics

	mu     sync.Mutex // guards what follows
	link   *link
	fit    Fit // of the last link
	closed bool

	// The rest belongs to Deliver.
	encoder *encoder
	round   round
	order   order
	lanes   lanes
	batch   batch
	// Events may be on their way from an earlier round, or from an earlier process: they
	// then go in lanes, see guard, and may be stored already, see unconfirmed.
	guard       guard
	unconfirmed unconfirmed
	batching    *retry.Episode
	// refused is set when the server has refused a subject in core mode, in the last
	// round.
	refused bool
}

// New returns a sink that is not connected yet. The error is a fault of cfg, see
// [Config.Validate], or of the registration of metrics.
func New(cfg Config, options Options) (*Sink, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("nats sink: %w", err)
	}
	subject, err := parseSubject(cfg.WithDefaults().Subject)
	if err != nil {
		return nil, fmt.Errorf("nats sink: subject: %w", err)
	}
	s, err := newSinkFor(cfg, subject, options)
	if err != nil {
		return nil, fmt.Errorf("nats sink: %w", err)
	}
	return s, nil
}

// newSinkFor returns a sink for a valid configuration.
func newSinkFor(cfg Config, subject *subject, options Options) (*Sink, error) {
	cfg = cfg.WithDefaults()
	m, err := newMetrics(options.Registerer)
	if err != nil {
		return nil, err
	}
	log := options.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Sink{
		cfg: cfg, subject: subject, files: cfg.TLS.files(), servers: newServers(cfg.URL), log: log, metrics: m,
		encoder:     newEncoder(subject, cfg.Content, cfg.Stream),
		unconfirmed: unconfirmed{before: time.Now()},
		batching: retry.NewEpisode(log, retry.Messages{
			Begin: "the stream refuses a batch; its events are sent one by one",
			Still: "the stream still refuses batches",
			End:   "the stream takes batches again",
		}),
	}, nil
}

// Connect connects and inspects the stream, unless that is done already. Deliver does so
// itself; Connect is for callers that want to know early what is wrong. Every error is
// transient, and an [*Error] that names the cure, except for the cause of ctx's end and
// [ErrClosed].
func (s *Sink) Connect(ctx context.Context) error {
	_, err := s.connected(ctx)
	return err
}

// Fit returns how the stream suits the sink, as it was found by the last connection that
// was made. It is the zero Fit before the first.
func (s *Sink) Fit() Fit {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fit
}

// Deliver publishes events in one round, as the contract in package bridge has it:
// outcome is called with nil for each event that the server has acknowledged, and with a
// permanent error for each whose message is larger than the server or the stream takes.
// Deliver returns nil if every event has an outcome, else the reason why some have none.
//
// In core mode, an event counts as acknowledged when the server has it.
func (s *Sink) Deliver(ctx context.Context, events []schema.Event, outcome func(i int, err error)) error {
	if len(events) == 0 {
		return nil
	}
	l, err := s.connected(ctx)
	if err != nil {
		return err
	}
	start := time.Now()
	r := &s.round
	r.begin(events, outcome)
	r.abortWith(ctx, l)
	defer r.end()
	if s.cfg.Mode == ModeCore {
		l, err = s.deliverCore(ctx, l)
	} else {
		l, err = s.deliverStream(ctx, l)
		s.remember(start)
	}
	s.metrics.delivered.Add(float64(r.stored))
	if l.server.failures > 0 && r.stored > 0 {
		l.server.failures = 0
		s.servers.note(&l.server, false)
	}
	if r.open == 0 {
		s.metrics.seconds.Observe(time.Since(start).Seconds())
		return nil
	}
	// A late answer must not count for another message; and where nothing was stored, the
	// next connection finds out whether the stream has changed, on another server if
	// there is one.
	if r.stored == 0 || errors.Is(err, errAckTimeout) {
		s.servers.note(&l.server, true)
	}
	if l.unanswered || r.stored == 0 {
		s.drop(l)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return s.publishError(err)
}

// deliverStream publishes to the stream: in one batch where the stream allows it, else in
// lanes. Where the server ends a batch early, the rest goes in lanes, so that one event
// that the stream does not take holds up no other object's events. It returns the
// connection that was used last.
func (s *Sink) deliverStream(ctx context.Context, l *link) (*link, error) {
	r := &s.round
	if err := s.refreshStale(ctx, l); err != nil {
		return l, err
	}
	if err := s.confirm(ctx, l); err != nil {
		return l, err
	}
	batch := s.guard.begin(time.Now(), l.fit.Replicas) && l.fit.Batch && len(r.events) > 1
	defer func() { s.guard.end(time.Now(), r.open > 0, r.unanswered()) }()
	for {
		var refusal, err error
		if batch {
			ended, batchErr := s.deliverBatch(ctx, l)
			if batchErr != nil && !ended {
				return l, batchErr
			}
			refusal = batchErr
		}
		if r.open > 0 && (!batch || refusal != nil || r.held == 0) {
			err = s.deliverLanes(ctx, l)
		}
		switch {
		case batch && refusal == nil:
			s.batching.Recovered(ctx)
		case batch && r.open == 0 && r.refused == 0: // Else the outcomes tell why.
			s.batching.Failed(ctx, refusal)
		}
		if r.held == 0 || l.unanswered {
			return l, err
		}
		batch = batch && refusal == nil
		if l, err = s.relimit(ctx, l); err != nil {
			return l, err
		}
	}
}

// Close ends the connection. A Deliver that is in progress fails. It may be called again.
func (s *Sink) Close() error {
	s.mu.Lock()
	l := s.link
	s.link, s.closed = nil, true
	s.mu.Unlock()
	if l != nil {
		l.close()
	}
	return nil
}

// connected returns the connection, and makes one if there is none.
func (s *Sink) connected(ctx context.Context) (*link, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	s.mu.Lock()
	l, closed := s.link, s.closed
	s.mu.Unlock()
	if closed {
		return nil, ErrClosed
	}
	if l != nil {
		if l.usable() {
			return l, nil
		}
		s.drop(l)
	}
	var failure error
	for _, to := range s.servers.order() {
		l, err := s.connect(ctx, to)
		switch {
		case err == nil:
			return l, nil
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case errors.Is(err, ErrClosed):
			return nil, err
		}
		s.servers.note(&to, true)
		if unreachable := errors.Is(err, errDial); failure == nil || errors.Is(failure, errDial) && !unreachable {
			failure = err
		}
		if !isNoServer(err) {
			break // The server is there, and others of its cluster have the same stream.
		}
	}
	return nil, failure
}

// noServerError is an error on the way to a server; others are about the stream.
type noServerError struct{ error }

func (e noServerError) Unwrap() error { return e.error }

func isNoServer(err error) bool {
	var e noServerError
	return errors.As(err, &e)
}

// connect connects to a server and inspects the stream there.
func (s *Sink) connect(ctx context.Context, to member) (*link, error) {
	l, err := dial(ctx, s.cfg, s.files, to)
	if err != nil {
		return nil, noServerError{s.connectError(err)}
	}
	if err := s.open(ctx, l); err != nil {
		s.learn(l)
		l.close()
		return nil, err
	}
	if !s.adopt(l) {
		l.close()
		return nil, ErrClosed
	}
	s.learn(l)
	s.metrics.connects.Inc()
	s.log.InfoContext(ctx, "connected to nats", "server", l.nc.ConnectedUrlRedacted(), "mode", s.cfg.Mode,
		"stream", l.fit.Stream, "created", l.fit.Created, "batch", l.fit.Batch)
	for _, advice := range l.fit.Advice {
		s.log.WarnContext(ctx, "nats stream could suit better", "stream", l.fit.Stream, "advice", advice)
	}
	return l, nil
}

// learn remembers the servers that were announced on a connection.
func (s *Sink) learn(l *link) { s.servers.learn(&l.server, l.secure, l.nc.DiscoveredServers()) }

// adopt makes l the sink's connection, unless the sink was closed meanwhile.
func (s *Sink) adopt(l *link) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.link, s.fit = l, l.fit
	return true
}

// drop closes a connection that must not be used any more.
func (s *Sink) drop(l *link) {
	s.learn(l)
	s.mu.Lock()
	if s.link == l {
		s.link = nil
	}
	s.mu.Unlock()
	l.close()
}
