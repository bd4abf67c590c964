package producer

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/virtcast/virtcast/sinks/kafka/client"
)

// maxRequest is the size, before compression, from which on a request takes no more
// batches. It is small enough that there are more batches to make while the broker works
// on it, and large enough that the number of requests does not matter.
const maxRequest = 1 << 20

// sendersPerBroker is how many senders share the partitions of a broker. A broker works
// on one request of a connection at a time, up to the acknowledgement of the last
// replica. With a second connection it has another request while it waits for the
// replicas, or for this client.
const sendersPerBroker = 2

// Observer counts what happened. Senders call it concurrently.
type Observer interface {
	// Stored counts records that were acknowledged.
	Stored(records int)
	// Answered counts produce requests that were answered.
	Answered()
	// Failed counts batches that were answered with an error.
	Failed(code client.Code)
	// MayRepeat counts records that may be stored twice.
	MayRepeat(records int)
}

// sender sends the batches of some of the partitions that one broker leads: one request
// at a time, with one batch of each. The partitions belong to it while it runs.
type sender struct {
	cluster  *client.Cluster
	bounds   bounds
	log      *slog.Logger
	observer Observer
	encoder  Encoder

	delivery   *delivery
	socket     client.Socket
	partitions []*partition
	compressor Compressor

	// sending are the partitions in the request that is under way, coming those in the
	// next. turn counts the partitions that were looked at, so that each has its turn.
	sending, coming []*partition
	turn            int
	request         client.Produce
}

// run sends until nothing is left, or until nothing more can be sent in this round.
func (s *sender) run(ctx context.Context) {
	s.coming = s.coming[:0]
	for s.collect(); len(s.coming) > 0; {
		s.sending, s.coming = s.coming, s.sending[:0]
		if err := s.send(ctx); err != nil {
			s.stop(err)
			return
		}
		if len(s.coming) == 0 {
			s.collect() // There may be more for the same partitions.
		}
	}
}

// stop ends the round for all partitions that have something left.
func (s *sender) stop(err error) {
	for _, part := range s.partitions {
		if part.stopped == nil && !part.idle() {
			part.stopped = err
		}
	}
}

// collect chooses the batches of the next request among the partitions that are not in
// the present one, and makes those that are not made yet.
func (s *sender) collect() {
	size := 0
	for range s.partitions {
		part := s.partitions[s.turn%len(s.partitions)]
		s.turn++
		if part.stopped != nil || part.state.underWay() {
			continue
		}
		if part.state == empty {
			err := part.build(s.bounds, s.delivery.next, s.encoder, &s.compressor, s.delivery.refused)
			if err != nil {
				part.stopped = err
			}
			if part.state != made {
				continue
			}
		}
		s.coming = append(s.coming, part)
		if size += part.batch.Size(); size >= maxRequest {
			break
		}
	}
}

// send sends the request, makes the batches of the next one meanwhile, and takes in the
// answer.
func (s *sender) send(ctx context.Context) error {
	slices.SortStableFunc(s.sending, func(a, b *partition) int {
		return strings.Compare(a.topic.known.Name, b.topic.known.Name)
	})
	s.request.Batches = s.request.Batches[:0]
	for _, part := range s.sending {
		part.on(send)
		s.request.Batches = append(s.request.Batches, client.Batch{
			Topic: part.topic.known.Name, Partition: part.id, Wire: part.batch.wire,
		})
	}
	var (
		asking  sync.WaitGroup
		maySent bool
		err     error
	)
	asking.Go(func() { maySent, err = s.cluster.Produce(ctx, s.socket, &s.request) })
	s.collect()
	asking.Wait()
	if err != nil {
		for _, part := range s.sending {
			if maySent {
				part.on(lose)
			} else {
				part.on(reject)
			}
		}
		return err
	}
	s.observer.Answered()
	for i, part := range s.sending {
		s.take(part, &s.request.Batches[i])
	}
	return nil
}

// take takes in the answer to one batch.
func (s *sender) take(part *partition, b *client.Batch) {
	verdict := b.Answer.Verdict()
	if verdict == client.Stored {
		if b.Answer != client.CodeNone {
			s.observer.Failed(b.Answer)
		}
		s.observer.Stored(part.batch.count)
		s.delivery.stored(part.at)
		part.confirmed()
		return
	}
	s.observer.Failed(b.Answer)
	err := &client.CodeError{Code: b.Answer, What: part.String(), Message: b.Message}
	if b.Answer == client.CodeCorrupt {
		if part.corrupt++; part.corrupt >= maxCorrupt {
			verdict = client.Split
		}
	}
	switch verdict {
	case client.Renew:
		part.on(reject)
		part.stale, part.stopped = true, err
	case client.Split:
		if n := part.refused(s.delivery.next, err, s.delivery.refused); n > 0 {
			s.mayRepeat(part, n, err)
			part.stopped = err
		}
	case client.Retry, client.Operator, client.Stored:
		part.on(lose)
		part.stopped = err
	}
}

// mayRepeat counts and logs records that may be stored twice.
func (s *sender) mayRepeat(part *partition, records int, err error) {
	s.observer.MayRepeat(records)
	logRepeat(s.log, part, records, err)
}

// logRepeat logs records that may be stored twice.
func logRepeat(log *slog.Logger, part *partition, records int, err error) {
	log.Warn("records are sent again under a new producer id and may be stored twice, with the same ids",
		"partition", part.String(), "records", records, "error", err)
}
