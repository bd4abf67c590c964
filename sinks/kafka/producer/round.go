package producer

import (
	"context"
	"log/slog"
	"sync"

	"github.com/virtcast/virtcast/sinks/kafka/client"
)

// rounds sends the batches of partitions, one round after the other.
type rounds struct {
	cluster  *client.Cluster
	bounds   bounds
	log      *slog.Logger
	observer Observer
	encoder  func() Encoder
	delivery *delivery

	senders []*sender // of which a round uses the first
	// shared is the producer id that partitions begin with. A partition that loses it
	// gets an id of its own, so that the sequences of the others go on.
	shared    client.ProducerID
	hasShared bool
}

// run sends to every leader at once, until each partition has everything or has failed.
// It reports whether any partition has come further.
func (r *rounds) run(ctx context.Context, partitions []*partition) (progress bool) {
	var (
		senders []*sender
		denied  error // why there is no producer id
	)
	for _, part := range partitions {
		part.stopped, part.progress = nil, false
		if part.idle() {
			continue
		}
		if part.stopped = r.obstacle(part); part.stopped != nil {
			continue
		}
		if part.stale {
			if denied == nil {
				denied = r.renew(ctx, part)
			}
			if part.stopped = denied; denied != nil {
				continue
			}
		}
		senders = r.assign(senders, part)
	}
	if len(senders) == 1 {
		senders[0].run(ctx)
	} else {
		var running sync.WaitGroup
		for _, s := range senders {
			running.Go(func() { s.run(ctx) })
		}
		running.Wait()
	}
	for _, part := range partitions {
		progress = progress || part.progress
	}
	return progress
}

// obstacle returns why nothing can be sent to a partition now, or nil.
func (r *rounds) obstacle(part *partition) error {
	leader := part.leader()
	switch {
	case leader != client.NoLeader:
		return r.cluster.Resting(leader)
	case part.topic.known.Err != nil:
		return part.topic.known.Err
	}
	return &client.CodeError{Code: client.CodeLeaderNotAvailable, What: part.String()}
}

// assign adds a partition to the sender of its leader that has the fewest.
func (r *rounds) assign(senders []*sender, part *partition) []*sender {
	var best *sender
	number, leader := 0, part.leader()
	for _, s := range senders {
		if s.socket.Node == leader {
			number++
			if best == nil || len(s.partitions) < len(best.partitions) {
				best = s
			}
		}
	}
	if number == sendersPerBroker {
		best.partitions = append(best.partitions, part)
		return senders
	}
	if len(senders) == len(r.senders) {
		r.senders = append(r.senders, &sender{
			cluster: r.cluster, log: r.log, observer: r.observer, encoder: r.encoder(),
			bounds: r.bounds, delivery: r.delivery,
		})
	}
	s := r.senders[len(senders)]
	s.socket, s.partitions = client.Socket{Node: leader, Number: number}, append(s.partitions[:0], part)
	return append(senders, s)
}

// renew gives a partition a producer id that the broker accepts.
func (r *rounds) renew(ctx context.Context, part *partition) error {
	first := !part.started
	id := r.shared
	if !first || !r.hasShared {
		var err error
		if id, err = r.cluster.NewProducerID(ctx); err != nil {
			return err
		}
	}
	if first && !r.hasShared {
		r.shared, r.hasShared = id, true
	}
	if part.state.maybeStored() {
		r.mayRepeat(part, part.batch.count, nil)
	} else if !first {
		r.log.WarnContext(ctx, "the broker did not accept the producer id; a new one is used",
			"partition", part.String())
	}
	part.renewed(id)
	return nil
}

// mayRepeat counts and logs records that may be stored twice.
func (r *rounds) mayRepeat(part *partition, records int, err error) {
	r.observer.MayRepeat(records)
	logRepeat(r.log, part, records, err)
}
