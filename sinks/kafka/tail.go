package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"

	"github.com/virtcast/virtcast/schema"
	"github.com/virtcast/virtcast/sinks/kafka/client"
)

// TailOptions is where a tail begins. The zero value begins with what is published from
// now on.
type TailOptions struct {
	// All begins with the oldest record of each partition, Since with the first that is
	// not older than that time.
	All   bool
	Since time.Time
	// Interrupted, if not nil, is called with an error when a partition cannot be read,
	// and with nil when it can be read again. Nothing is missed in between.
	Interrupted func(error)
}

// Message is one event as it was published.
type Message struct {
	Topic     string
	Partition int
	Offset    int64
	// Event is the decoded event. Err is why the record is no event: it may be another
	// producer's, or of a later format.
	Event schema.Event
	Err   error
}

// Tail calls handle with every event that is published to the topics that exist now. It
// returns nil when ctx ends, handle's error when handle returns one, and an error when
// the topics cannot be looked at. It reads what a sink with the same configuration
// writes, in both content modes, and creates no topic. The cluster must answer at first;
// after that Tail goes on for as long as it takes.
//
// The events of a partition, and so those of a domain, come in order. Events that exist
// already come in the order of their times over all partitions.
func Tail(ctx context.Context, cfg Config, opts TailOptions, handle func(Message) error) error {
	cfg.Create = nil
	if err := cfg.Validate(); err != nil {
		return fmt.Errorf("kafka tail: %w", err)
	}
	cfg = cfg.WithDefaults()
	reached := cfg.client(forEvents)
	cluster := client.New(reached, client.Options{})
	defer cluster.Close()
	ranges, err := cfg.ranges(ctx, cluster, client.From{Oldest: opts.All, Since: opts.Since})
	if err != nil {
		if ctx.Err() != nil {
			return nil // The end of ctx is how a tail ends.
		}
		return reached.Explain(ctx, err)
	}
	cluster.Disconnect() // The readers have connections of their own.
	dialer, err := reached.Dialer(client.ID + " tail")
	if err != nil {
		return reached.Explain(ctx, err)
	}
	group, reading := errgroup.WithContext(ctx)
	t := &tail{ranges: ranges, arrived: make(chan arrival)}
	for i, r := range ranges {
		group.Go(func() error { return t.read(reading, i, cfg.reader(dialer, r)) })
	}
	interrupted := func(err error) {
		if opts.Interrupted != nil {
			opts.Interrupted(reached.Explain(ctx, err))
		}
	}
	group.Go(func() error { return t.merge(reading, interrupted, handle) })
	if err := group.Wait(); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// ranges returns what to read of all topics that the configuration can make.
func (c Config) ranges(ctx context.Context, cluster *client.Cluster, from client.From) ([]client.Range, error) {
	topic, err := parseTopic(c.Topic)
	if err != nil {
		return nil, fmt.Errorf("topic: %w", err)
	}
	name, fixed := topic.Fixed()
	names := []string{name}
	if !fixed {
		if names, err = cluster.Topics(ctx, topic.String(), topic.pattern().MatchString); err != nil {
			return nil, err
		}
	}
	return cluster.Ranges(ctx, names, from)
}

// reader returns a reader of a partition. It has started nothing.
func (c Config) reader(dialer *kafka.Dialer, r client.Range) *kafka.Reader {
	return kafka.NewReader(kafka.ReaderConfig{
		Brokers: c.Brokers, Topic: r.Topic, Partition: r.Partition, Dialer: dialer,
		QueueCapacity: tailRoom, MinBytes: 1, MaxBytes: 16 << 20, MaxWait: 500 * time.Millisecond,
		ReadBackoffMin: 100 * time.Millisecond, ReadBackoffMax: 2 * time.Second,
		ReadLagInterval: -1, IsolationLevel: kafka.ReadCommitted, MaxAttempts: 2,
	})
}

// tailRoom is how many records of a partition may wait.
const tailRoom = 256

// tail reads partitions, and puts their records into one order:
//
//	partition 0 ─ reader ─┐
//	partition 1 ─ reader ─┼─► heads ─ the oldest ─► handle
//	partition 2 ─ reader ─┘
//
// merge waits for a partition only while that has records which existed when Tail began.
type tail struct {
	ranges  []client.Range
	arrived chan arrival
}

// arrival is what a reader has read: a record, or why it could not.
type arrival struct {
	from    int
	message Message
	time    time.Time
	// last is set for the last record of the partition.
	last bool
	err  error
	// taken is closed when the reader may go on.
	taken chan struct{}
}

// read hands over one record after another until ctx ends, and waits for each to be
// taken.
func (t *tail) read(ctx context.Context, from int, r *kafka.Reader) (err error) {
	defer func() { err = errors.Join(err, r.Close()) }()
	if err := r.SetOffset(t.ranges[from].Start); err != nil {
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
		case t.arrived <- a:
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
func (t *tail) merge(ctx context.Context, interrupted func(error), handle func(Message) error) error {
	heads := make([]*arrival, len(t.ranges))
	behind := make([]bool, len(t.ranges)) // More records existed when Tail began.
	failed := make([]bool, len(t.ranges))
	for i, r := range t.ranges {
		behind[i] = r.Start < r.End
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
		case a := <-t.arrived:
			if failed[a.from] != (a.err != nil) {
				interrupted(t.interruption(&a))
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

// interruption returns an arrival's error with its place, or nil.
func (t *tail) interruption(a *arrival) error {
	if a.err == nil {
		return nil
	}
	r := t.ranges[a.from]
	return fmt.Errorf("partition %d of %s: %w", r.Partition, r.Topic, a.err)
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
