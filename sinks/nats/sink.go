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

// settleTime is how long a message that was written to a connection may take to be stored
// after the connection was closed: a generous multiple of what a cluster needs.
const settleTime = time.Second

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
	// then go in lanes. careful is set until a round has left nothing open. settled is
	// when every message that was sent and not answered has arrived, or never will; its
	// event need not be in the next round.
	careful  bool
	settled  time.Time
	batching *retry.Episode
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
		cfg: cfg, subject: subject, files: cfg.TLS.files(), log: log, metrics: m, careful: true,
		encoder: newEncoder(subject, cfg.Content, cfg.Mode == ModeJetStream),
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
	// A write to a server that does not read blocks; this ends it.
	defer context.AfterFunc(ctx, l.abort)()
	start := time.Now()
	r := &s.round
	r.begin(events, outcome)
	defer r.end()
	if s.cfg.Mode == ModeCore {
		err = s.deliverCore(ctx, l)
	} else {
		err = s.deliverStream(ctx, l)
	}
	s.metrics.delivered.Add(float64(r.stored))
	if r.open == 0 {
		s.metrics.seconds.Observe(time.Since(start).Seconds())
		return nil
	}
	// A late answer must not count for another message; and where nothing was stored, the
	// next connection finds out whether the stream has changed.
	if l.unanswered {
		s.settled = time.Now().Add(settleTime)
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
// that the stream does not take holds up no other object's events.
func (s *Sink) deliverStream(ctx context.Context, l *link) error {
	r := &s.round
	inBatch := l.fit.Batch && !s.careful && len(r.events) > 1 && (s.settled.IsZero() || time.Now().After(s.settled))
	s.careful = true // Until the round is known to have left nothing open.
	var refusal error
	if inBatch {
		ended, err := s.deliverBatch(ctx, l)
		if err != nil && !ended {
			return err
		}
		refusal = err
	}
	var err error
	if r.open > 0 {
		err = s.deliverLanes(ctx, l)
	}
	s.careful = r.open > 0
	switch {
	case inBatch && refusal == nil:
		s.batching.Recovered(ctx)
	case inBatch && r.open == 0 && r.refused == 0: // Else the outcomes tell why.
		s.batching.Failed(ctx, refusal)
	}
	return err
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
	l, err := dial(ctx, s.cfg, s.files)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, s.connectError(err)
	}
	if err := s.open(ctx, l); err != nil {
		l.close()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, err
	}
	if !s.adopt(l) {
		l.close()
		return nil, ErrClosed
	}
	s.metrics.connects.Inc()
	s.log.InfoContext(ctx, "connected to nats", "server", l.nc.ConnectedUrlRedacted(), "mode", s.cfg.Mode,
		"stream", l.fit.Stream, "created", l.fit.Created, "batch", l.fit.Batch)
	for _, advice := range l.fit.Advice {
		s.log.WarnContext(ctx, "nats stream could suit better", "stream", l.fit.Stream, "advice", advice)
	}
	return l, nil
}

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
	s.mu.Lock()
	if s.link == l {
		s.link = nil
	}
	s.mu.Unlock()
	l.close()
}
