package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/virtcast/virtcast/schema"
	"github.com/virtcast/virtcast/sinks"
)

// ErrClosed is returned by every method after Close.
var ErrClosed = errors.New("nats sink is closed")

// maxHeader is the largest header block that a stream stores.
const maxHeader = 65535

// Options is what the program gives to a sink. The zero value works.
type Options struct {
	// Logger hears of connections and of advice about the stream; nil means silence.
	// Errors are returned, not logged.
	Logger *slog.Logger
	// Registerer gets the metrics; nil means none. Give each sink its own, with a label
	// of its name (prometheus.WrapRegistererWith).
	Registerer prometheus.Registerer
}

// Sink delivers events to one NATS server or cluster. Deliver must not be called
// concurrently; everything else may be.
type Sink struct {
	cfg     Config
	bucket  string // of states, whose stream cfg.Stream is; "" for a stream of events
	subject *subject
	log     *slog.Logger
	metrics *metrics

	mu     sync.Mutex // guards link and closed
	link   *link
	closed bool

	// The rest belongs to Deliver.
	encoder *encoder
	plan    plan
	lanes   lanes
	// suspects counts the next events that may be under way from an earlier attempt;
	// fresh is set until the first Deliver has succeeded, when an earlier process's may be.
	suspects int
	fresh    bool
}

// New returns a sink that is not connected yet. The error is a fault of cfg, see
// [Config.Validate], or of the registration of metrics.
func New(cfg Config, options Options) (*Sink, error) {
	if err := cfg.Validate(""); err != nil {
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
		cfg: cfg, subject: subject, log: log, metrics: m, fresh: true,
		encoder: newEncoder(subject, cfg.Content, cfg.Mode == ModeJetStream),
	}, nil
}

// Connect connects and looks at the stream, unless that is done already. Deliver does
// so itself; Connect is for those who want to know early. Every error is transient, and an
// [*Error] that says what to change, except for ctx's own and [ErrClosed].
func (s *Sink) Connect(ctx context.Context) (Fit, error) {
	l, err := s.connected(ctx)
	if err != nil {
		return Fit{}, err
	}
	return l.fit, nil
}

// Deliver publishes events in order; see package bridge for the contract. The error is permanent for an
// event whose message is larger than the server or the stream takes.
//
// In core mode, an event counts as acknowledged when the server has it: all or none of a call.
func (s *Sink) Deliver(ctx context.Context, events []schema.Event, outcome func(i int, err error)) error {
	return inOutcomes(events, outcome, func(rest []schema.Event) (int, error) { return s.deliver(ctx, rest) })
}

// inOutcomes tells the outcomes of a delivery that acknowledges events in their order.
func inOutcomes(events []schema.Event, outcome func(i int, err error), deliver func([]schema.Event) (int, error)) error {
	n, err := deliver(events)
	for i := range n {
		outcome(i, nil)
	}
	var permanent interface{ Permanent() bool }
	if !errors.As(err, &permanent) || !permanent.Permanent() {
		return err
	}
	outcome(n, err)
	if n == len(events)-1 {
		return nil
	}
	return errors.New("an event before these was refused")
}

func (s *Sink) deliver(ctx context.Context, events []schema.Event) (n int, err error) {
	if len(events) == 0 {
		return 0, nil
	}
	l, err := s.connected(ctx)
	if err != nil {
		return 0, err
	}
	// A write to a server that does not read blocks; this ends it.
	defer context.AfterFunc(ctx, l.abort)()
	start := time.Now()
	var tooLarge *tooLargeError
	if s.cfg.Mode == ModeCore {
		n, err = s.deliverCore(ctx, l, events)
	} else {
		n, err = s.deliverStream(ctx, l, events)
	}
	s.metrics.delivered.Add(float64(n))
	switch {
	case err == nil:
		s.metrics.seconds.Observe(time.Since(start).Seconds())
		return n, nil
	case errors.As(err, &tooLarge):
		return n, sinks.Permanent(fmt.Errorf("event %s of %s: %w", events[n].ID(), events[n].Connection.Source, err))
	}
	s.drop(l)
	if ctx.Err() != nil {
		return n, context.Cause(ctx)
	}
	return n, s.publishError(err)
}

// Close ends the connection. A Deliver that is under way fails. It does not block
// for long; ctx is there for the day it has to.
func (s *Sink) Close(context.Context) error {
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
	l, err := dial(ctx, s.cfg)
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
	s.link = l
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

// deliverStream publishes to the stream: what may be under way already in lanes, the rest
// in one batch where the stream allows it.
func (s *Sink) deliverStream(ctx context.Context, l *link, events []schema.Event) (n int, err error) {
	inLanes := min(s.suspects, len(events))
	if s.fresh || !l.fit.Batch || len(events) == 1 {
		inLanes = len(events)
	}
	var sent int
	if inLanes > 0 {
		n, sent, err = s.deliverLanes(ctx, l, events[:inLanes])
	}
	if err == nil && inLanes < len(events) {
		var more int
		more, sent, err = s.deliverBatch(ctx, l, events[inLanes:])
		n, sent = inLanes+more, inLanes+sent
	}
	s.suspects = max(s.suspects-n, sent-n, 0)
	s.fresh = s.fresh && err != nil
	return n, err
}

// tooLargeError is returned when a message can never be stored.
type tooLargeError struct {
	what        string
	size, limit int
}

func (e *tooLargeError) Error() string {
	if e.size == 0 {
		return e.what + " is larger than the stream takes"
	}
	return fmt.Sprintf("%s of %d bytes is larger than the %d that fit", e.what, e.size, e.limit)
}

// encode returns the message of an event, or a *tooLargeError when it is too large for the server
// or the stream. The message is valid until the next call.
func (s *Sink) encode(l *link, e *schema.Event) (*natsgo.Msg, error) {
	m := s.encoder.encode(e)
	header, total := s.encoder.size()
	switch {
	case total > l.fit.MaxMessage:
		return nil, &tooLargeError{"message", total, l.fit.MaxMessage}
	case header > maxHeader && l.fit.Stream != "":
		return nil, &tooLargeError{"header", header, maxHeader}
	}
	return m, nil
}

// permanent turns the server's refusal of a message for its size into a *tooLargeError.
func permanent(err error) error {
	switch {
	case isCode(err, jetstream.JSErrCodeStreamMessageExceedsMaximum):
		return &tooLargeError{what: "message"}
	case isCode(err, codeHeaderTooLarge):
		return &tooLargeError{what: "header"}
	}
	return err
}
