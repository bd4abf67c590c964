package producer

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/segmentio/kafka-go/compress"

	"github.com/virtcast/virtcast/internal/retry"
	"github.com/virtcast/virtcast/sinks/kafka/client"
)

// pauses are how long a delivery waits before it sends again, after rounds without any
// progress. After the last of them it gives up: the caller has more patience.
var pauses = [...]time.Duration{0, 20 * time.Millisecond, 100 * time.Millisecond, 300 * time.Millisecond}

// errRecreated is returned when a topic was deleted and created again during a delivery.
var errRecreated = errors.New("the topic was deleted and created again meanwhile")

// Config is how records are put together.
type Config struct {
	// BatchBytes and BatchRecords bound a batch before compression.
	BatchBytes, BatchRecords int
	Compression              compress.Compression
	// Patience bounds the time without any acknowledgement in which a delivery tries
	// again.
	Patience time.Duration
}

// Options is what code gives to a producer.
type Options struct {
	Logger   *slog.Logger
	Observer Observer
	// Encoder returns an encoder. Encoders may be used concurrently with each other.
	Encoder func() Encoder
}

// Producer brings records to Kafka. It is not for concurrent use.
type Producer struct {
	cfg     Config
	cluster *client.Cluster
	topics  topics
	rounds  rounds

	// left are the partitions with an unconfirmed batch of an earlier delivery.
	left   []*partition
	stored stored

	// The rest belongs to one delivery.
	delivery delivery
	active   []*partition // with records
	ready    []int32
	missing  map[string]error // the topics that cannot be used
	name     []byte
	key      []byte
}

// New returns a producer for a cluster, which nobody else asks to refresh its metadata.
func New(cluster *client.Cluster, cfg Config, options Options) *Producer {
	p := &Producer{cfg: cfg, cluster: cluster, missing: map[string]error{}}
	p.topics = topics{log: options.Logger, byName: map[string]*topic{}}
	p.rounds = rounds{
		cluster: cluster, log: options.Logger, observer: options.Observer, encoder: options.Encoder,
		bounds:   bounds{bytes: cfg.BatchBytes, records: cfg.BatchRecords, compression: cfg.Compression},
		delivery: &p.delivery,
	}
	return p
}

// Deliver brings records to Kafka, and calls outcome for each at most once, never twice
// at the same time: with nil when it is stored, and with an error when it never will be.
// It returns how many have no outcome, and the reason why. Those are to be presented
// again, before newer ones with the same keys. It blocks until every partition has taken
// its records or has failed for now, or until ctx ends.
func (p *Producer) Deliver(ctx context.Context, records Delivery, outcome func(i int, err error)) (left int, err error) {
	p.delivery.begin(records, outcome)
	p.active = p.active[:0]
	clear(p.missing)
	err = p.run(ctx)
	return p.finish(err)
}

func (p *Producer) run(ctx context.Context) error {
	if p.cluster.Stale() {
		if err := p.refresh(ctx); err != nil {
			return err
		}
	}
	p.present()
	for first := true; ; first = false {
		p.ready = p.delivery.records.Next(p.ready[:0], p.delivery.status)
		if len(p.ready) == 0 && !first {
			return nil
		}
		later := p.enqueue(p.ready)
		if err := p.settle(ctx); err != nil {
			return err
		}
		if len(later) == 0 {
			continue
		}
		if err := p.enqueueNew(ctx, later); err != nil {
			return err
		}
		if err := p.settle(ctx); err != nil {
			return err
		}
	}
}

// refresh asks for the leaders of all partitions.
func (p *Producer) refresh(ctx context.Context) error {
	if err := p.cluster.Refresh(ctx); err != nil {
		return err
	}
	p.sync(ctx)
	return nil
}

// open returns a topic that can be used.
func (p *Producer) open(ctx context.Context, name string) (*topic, error) {
	known, err := p.cluster.Open(ctx, name)
	p.sync(ctx) // Open refreshes the metadata of all topics.
	if err != nil {
		return nil, err
	}
	return p.topics.add(ctx, known), nil
}

// sync takes in what has changed in the metadata. The sequences of a topic that was
// created again begin with a new producer id.
func (p *Producer) sync(ctx context.Context) {
	if p.topics.sync(ctx) {
		p.rounds.hasShared = false
	}
}

// present recognises the records of earlier deliveries that are presented again.
func (p *Producer) present() {
	p.topics.widen()
	if len(p.left) == 0 && p.stored.empty() {
		return
	}
	type place struct {
		part *partition
		k    int
	}
	kept := map[string]place{}
	for _, part := range p.left {
		if part.state == gone {
			continue
		}
		part.present()
		for k, id := range part.kept {
			kept[id] = place{part, k}
		}
		p.activate(part)
	}
	p.left = p.left[:0]
	var id []byte
	for i := range p.delivery.status {
		id = p.delivery.records.AppendID(id[:0], i)
		if at, ok := kept[string(id)]; ok {
			at.part.at[at.k] = int32(i)
			p.delivery.status[i] = Sending
		} else if p.stored.take(id) {
			p.delivery.stored([]int32{int32(i)})
		}
	}
}

// enqueue brings records to the queues of their partitions. It returns those whose topics
// are not open: the others need not wait for these.
func (p *Producer) enqueue(records []int32) (later []int32) {
	for _, i := range records {
		p.delivery.status[i] = Sending
		p.name, p.key = p.delivery.records.Route(int(i), p.name[:0], p.key[:0])
		t := p.topics.byName[string(p.name)]
		if t == nil || t.width == 0 {
			later = append(later, i)
			continue
		}
		p.push(t, i)
	}
	return later
}

// enqueueNew opens the topics of records and brings these to the queues of their
// partitions. Records whose topic cannot be used stay behind.
func (p *Producer) enqueueNew(ctx context.Context, records []int32) error {
	for _, i := range records {
		p.name, p.key = p.delivery.records.Route(int(i), p.name[:0], p.key[:0])
		name := string(p.name)
		if p.missing[name] != nil {
			continue
		}
		t, err := p.open(ctx, name)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, client.ErrClosed):
			return err
		case err != nil:
			p.missing[name] = err
		default:
			p.push(t, i)
		}
	}
	return nil
}

// push puts a record into the queue of the partition of p.key.
func (p *Producer) push(t *topic, i int32) {
	part := t.partitions[PartitionOf(p.key, t.width)]
	part.push(p.delivery.next, i)
	p.activate(part)
}

func (p *Producer) activate(part *partition) {
	if !part.active {
		part.active = true
		p.active = append(p.active, part)
	}
}

// settle sends until everything in the queues is stored or refused. It tries again while
// a partition fails that did not fail before this delivery, and for as long as there is
// progress, but never long. Partitions that have failed are stalled then.
func (p *Producer) settle(ctx context.Context) error {
	attempts, last := 0, time.Now()
	for p.busy() {
		progress := p.rounds.run(ctx, p.active)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !p.busy():
			return nil
		case progress:
			attempts, last = 0, time.Now()
		}
		if !p.worthwhile() || attempts >= len(pauses) || time.Since(last) > p.cfg.Patience {
			break
		}
		if err := retry.Sleep(ctx, pauses[attempts]); err != nil {
			return err
		}
		attempts++
		// Whatever the reason was, the leaders may have changed.
		p.cluster.Distrust()
		if err := p.refresh(ctx); err != nil {
			return err
		}
		if err := p.cluster.Recreate(ctx); err != nil {
			return err
		}
	}
	for _, part := range p.active {
		part.stalled = part.stalled || !part.idle()
	}
	return nil
}

func (p *Producer) busy() bool {
	for _, part := range p.active {
		if !part.idle() {
			return true
		}
	}
	return false
}

// worthwhile reports whether another round may help a partition, so that the delivery
// should wait for it.
func (p *Producer) worthwhile() bool {
	for _, part := range p.active {
		if part.idle() || part.stalled || client.IsFatal(part.stopped) || errors.Is(part.stopped, client.ErrClosed) {
			continue
		}
		if leader := part.leader(); leader == client.NoLeader || p.cluster.Resting(leader) == nil {
			return true
		}
	}
	return false
}

// finish ends the delivery, and keeps what the next one has to know.
func (p *Producer) finish(err error) (left int, reason error) {
	left = p.delivery.left()
	if left > 0 && err == nil {
		err = p.reason()
	}
	for _, part := range p.active {
		part.leave(p.delivery.records)
	}
	if left > 0 {
		p.cluster.Distrust() // The leaders may have changed.
	} else {
		err = nil
	}
	for _, part := range p.active {
		if n := p.stored.add(part.absent); n > 0 {
			p.rounds.mayRepeat(part, n, errForgotten)
		}
		part.absent = nil
		if part.state == unconfirmed {
			p.left = append(p.left, part)
		}
	}
	p.stored.expire()
	p.delivery.records, p.delivery.outcome = nil, nil
	return left, err
}

// reason returns why records have no outcome: a reason that only an operator can cure, if
// there is one.
func (p *Producer) reason() (err error) {
	note := func(e error) {
		if e != nil && (err == nil || client.IsFatal(e) && !client.IsFatal(err)) {
			err = e
		}
	}
	for _, part := range p.active {
		if part.state != gone {
			note(part.stopped)
		}
	}
	for _, e := range p.missing {
		note(e)
	}
	if err == nil {
		err = errRecreated
	}
	return err
}
