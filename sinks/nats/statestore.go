package nats

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/virtcast/virtcast/internal/template"
	"github.com/virtcast/virtcast/schema"
)

// A key-value bucket is a stream with a name and subjects of this form, which keeps the
// last message of each.
const (
	bucketStream     = "KV_"
	bucketSubjects   = "$KV."
	operationHeader  = "KV-Operation"
	deleteMarker     = "DEL"
	bucketCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
)

// streamOf is the stream of a bucket.
func streamOf(bucket string) string { return bucketStream + bucket }

// StateStore keeps the last known state of each domain in a JetStream KV bucket. The key
// is the domain's UUID. The value is the state as a CloudEvent in structured mode. A
// domain that is gone has a delete marker, whose headers are the event's attributes in
// binary mode.
//
// The store has a connection of its own and writes in lanes: at most one write per domain
// is unanswered, so that no retry puts an older state over a newer one. It is a
// bridge.Connector.
type StateStore struct{ sink *Sink }

// NewStateStore returns a store for cfg.StateBucket that is not connected yet. The error
// is a fault of cfg, see [Config.Validate], or of the registration of metrics.
func NewStateStore(cfg Config, options Options) (*StateStore, error) {
	bucket := cfg.StateBucket
	if bucket == "" {
		return nil, errors.New("nats state store: no state_bucket")
	}
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("nats state store: %w", err)
	}
	keys := &subject{
		parts:   []template.Part{{Text: bucketSubjects + bucket + ".", Name: template.Literal}, {Name: uuidToken}},
		pattern: bucketSubjects + bucket + ".*",
	}
	cfg.Stream, cfg.StateBucket, cfg.Content = streamOf(bucket), "", ContentStructured
	sink, err := newSinkFor(cfg, keys, options)
	if err != nil {
		return nil, fmt.Errorf("nats state store: %w", err)
	}
	sink.bucket, sink.encoder.states = bucket, true
	return &StateStore{sink}, nil
}

// Connect connects and inspects the bucket's stream, as [Sink.Connect] does.
func (s *StateStore) Connect(ctx context.Context) error { return s.sink.Connect(ctx) }

// Fit returns how the bucket's stream suits, as [Sink.Fit] does.
func (s *StateStore) Fit() Fit { return s.sink.Fit() }

// Deliver stores the state that each event tells ([schema.KindState]), with the contract
// of [Sink.Deliver].
func (s *StateStore) Deliver(ctx context.Context, events []schema.Event, outcome func(i int, err error)) error {
	return s.sink.Deliver(ctx, events, outcome)
}

// Close ends the connection, as [Sink.Close] does.
func (s *StateStore) Close() error { return s.sink.Close() }

// bucketConfig is the stream of a bucket as the client libraries make it, with a history
// of one. It has no limits: a state that is discarded is a domain that is missing.
func (s *Sink) bucketConfig() jetstream.StreamConfig {
	c := s.streamConfig(false)
	c.Description = "last known states of virtual machines, kept by virtcast"
	c.MaxMsgsPerSubject, c.MaxAge, c.MaxBytes = 1, 0, -1
	c.Discard = jetstream.DiscardNew
	c.AllowRollup, c.DenyDelete = true, true
	return c
}

// inspectBucket fails for a stream that does not keep states, and notes how well it keeps
// them.
func (s *Sink) inspectBucket(f *Fit, c jetstream.StreamConfig) error {
	f.Batch = false // A batch would gain nothing: each Deliver has one state of each domain.
	misfit := func(problem, hint string) error {
		return &Error{Op: "bucket " + s.bucket, Err: misfitError(problem), Hint: hint + ", or set state_bucket to another one"}
	}
	switch {
	case c.MaxAge > 0:
		return misfit(fmt.Sprintf("its TTL is %s, so that the states of domains that are silent for longer are removed", c.MaxAge),
			"remove the TTL")
	case c.Retention != jetstream.LimitsPolicy:
		return misfit(fmt.Sprintf("its retention is %s, so that states are removed once consumed", c.Retention), "make it with limits retention")
	}
	advise := func(format string, args ...any) { f.Advice = append(f.Advice, fmt.Sprintf(format, args...)) }
	if c.MaxMsgsPerSubject <= 0 {
		advise("it keeps every state for ever: set its history to 1")
	}
	if c.MaxBytes > 0 || c.MaxMsgs > 0 {
		advise("it is limited to %d bytes and %d messages (-1 is no limit): when it is full, states are missing or out of date",
			c.MaxBytes, c.MaxMsgs)
	}
	return nil
}
