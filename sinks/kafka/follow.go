package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"

	"github.com/virtcast/virtcast/schema"
)

// FollowOptions is what a follower wants to see. The zero value follows what is
// published from now on.
type FollowOptions struct {
	// All begins with the oldest record of each partition, Since with the first that is not older than that
	// time.
	All   bool
	Since time.Time
	// Interrupted, if not nil, is told when a partition cannot be read (an error), and when one can be read
	// again (nil). Nothing is missed in between.
	Interrupted func(error)
}

// Message is one event as it was published.
type Message struct {
	Topic     string
	Partition int
	Offset    int64
	// Event is the decoded event, unless Err says why this is none: another
	// producer's record, say, or a later format.
	Event schema.Event
	Err   error
}

// Follow calls handle with every event that is published to the topics that there are now, until ctx ends
// (then it returns nil), handle returns an error (then it returns that), or the topics cannot be
// looked at. It reads what a sink with the same configuration writes, in both content modes, and makes no topic. The
// cluster must answer at first; after that Follow goes on for as long as it takes.
//
// The events of a partition, and so those of a domain, come in order. What is there already comes in the
// order of time over all partitions, as well as the clocks of the writers had it.
func Follow(ctx context.Context, cfg Config, opts FollowOptions, handle func(Message) error) error {
	cfg.Create = nil
	s, err := New(cfg, Options{}) // for its connections and explanations
	if err != nil {
		return err
	}
	defer s.cluster.close()
	partitions, err := s.cluster.locate(ctx, s.shipment.template, opts)
	if err != nil {
		if ctx.Err() != nil {
			return nil // ctx's end is how following ends
		}
		return s.explain(ctx, err)
	}
	s.cluster.dropAll() // the readers have connections of their own
	dialer, err := s.cfg.dialer()
	if err != nil {
		return s.explain(ctx, err)
	}
	group, reading := errgroup.WithContext(ctx)
	f := &follower{partitions: partitions, arrived: make(chan arrival)}
	for i, p := range partitions {
		group.Go(func() error { return f.read(reading, i, s.cfg.reader(dialer, p)) })
	}
	group.Go(func() error { return f.merge(reading, s, opts, handle) })
	if err := group.Wait(); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// dialer returns how kafka-go connects with the configuration.
func (c Config) dialer() (*kafka.Dialer, error) {
	d := &kafka.Dialer{ClientID: clientID + " tail", Timeout: c.ConnectTimeout, DualStack: true}
	var err error
	if c.TLS != nil {
		if d.TLS, err = c.TLS.load(); err != nil {
			return nil, err
		}
	}
	if c.SASL.Mechanism != "" {
		if d.SASLMechanism, err = c.SASL.mechanism(); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// reader returns what reads a partition from its start on. It has started nothing.
func (c Config) reader(dialer *kafka.Dialer, p located) *kafka.Reader {
	return kafka.NewReader(kafka.ReaderConfig{
		Brokers: c.Brokers, Topic: p.topic, Partition: p.partition, Dialer: dialer,
		QueueCapacity: followRoom, MinBytes: 1, MaxBytes: 16 << 20, MaxWait: 500 * time.Millisecond,
		ReadBackoffMin: 100 * time.Millisecond, ReadBackoffMax: 2 * time.Second,
		ReadLagInterval: -1, IsolationLevel: kafka.ReadCommitted, MaxAttempts: 2,
	})
}

// followRoom is how many records of a partition may wait.
const followRoom = 256

// follower reads partitions, and puts what they hold into one order:
//
//	partition 0 ─ reader ─┐
//	partition 1 ─ reader ─┼─► heads ─ the oldest ─► handle
//	partition 2 ─ reader ─┘
//
// merge waits for a partition only while that has records that were there when they were asked for.
type follower struct {
	partitions []located
	arrived    chan arrival
}

// arrival is what a reader brings: a record, or why there is none.
type arrival struct {
	from    int
	message Message
	time    time.Time
	// last is set for the last record that there is.
	last bool
	err  error
	// taken is closed when the reader may go on.
	taken chan struct{}
}

// read hands over one record after another until ctx ends, and waits for each to be taken.
func (f *follower) read(ctx context.Context, from int, r *kafka.Reader) (err error) {
	defer func() { err = errors.Join(err, r.Close()) }()
	if err := r.SetOffset(f.partitions[from].start); err != nil {
		return err
	}
	for {
		record, err := r.FetchMessage(ctx)
		if ctx.Err() != nil {
			return nil
		}
		a := arrival{from: from, err: err, taken: make(chan struct{})}
		if err == nil {
			a.message, a.time, a.last = newMessage(&record), record.Time, record.Offset+1 >= record.HighWaterMark
			if a.message.Err == nil {
				a.time = a.message.Event.Received // more exact
			}
		}
		select {
		case f.arrived <- a:
		case <-ctx.Done():
			return nil
		}
		select {
		case <-a.taken:
		case <-ctx.Done():
			return nil
		}
	}
}

// merge calls handle with the oldest of the heads, again and again.
func (f *follower) merge(ctx context.Context, s *Sink, opts FollowOptions, handle func(Message) error) error {
	heads := make([]*arrival, len(f.partitions))
	behind := make([]bool, len(f.partitions)) // it has more that was there already
	failed := make([]bool, len(f.partitions))
	for i, p := range f.partitions {
		behind[i] = p.start < p.end
	}
	for {
		oldest, complete := -1, true
		for i, a := range heads {
			switch {
			case a == nil:
				complete = complete && (!behind[i] || failed[i])
			case oldest < 0 || a.time.Before(heads[oldest].time):
				oldest = i
			}
		}
		if oldest >= 0 && complete {
			a := heads[oldest]
			heads[oldest] = nil
			behind[oldest] = !a.last
			if err := handle(a.message); err != nil {
				return err
			}
			close(a.taken)
			continue
		}
		select {
		case a := <-f.arrived:
			if opts.Interrupted != nil && failed[a.from] != (a.err != nil) {
				opts.Interrupted(s.explain(ctx, f.interruption(&a)))
			}
			failed[a.from] = a.err != nil
			if a.err != nil {
				close(a.taken)
				continue
			}
			heads[a.from] = &a
		case <-ctx.Done():
			return nil
		}
	}
}

// interruption is an arrival's error with the place where it was met, or nil.
func (f *follower) interruption(a *arrival) error {
	if a.err == nil {
		return nil
	}
	p := f.partitions[a.from]
	return fmt.Errorf("partition %d of %s: %w", p.partition, p.topic, a.err)
}

// newMessage decodes either content mode.
func newMessage(r *kafka.Message) Message {
	m := Message{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}
	headers := make(map[string]string, len(r.Headers))
	for _, h := range r.Headers {
		headers[h.Key] = string(h.Value)
	}
	if schema.IsStructured(headers[contentTypeHeader]) || headers[attributePrefix+"specversion"] == "" {
		m.Event, m.Err = schema.Decode(r.Value)
	} else {
		m.Event, m.Err = schema.DecodeBinary(func(name string) string {
			if name == dataContentTypeName {
				return headers[contentTypeHeader]
			}
			return headers[attributePrefix+name]
		}, r.Value)
	}
	return m
}
