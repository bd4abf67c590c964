package nats

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	natsgo "github.com/nats-io/nats.go"
)

// A batch asks for an acknowledgement every batchFlow messages, and stops sending when
// batchFlows of them are due. The server may ask for a slower pace.
const (
	batchFlow  = 256
	batchFlows = 4
)

// The operations of a batch (ADR-50), each in the reply subject of a message:
// <inbox>.<batch>.<flow>.fail.<sequence>.<operation>.$FI.
const (
	opStart     = ".0.$FI"
	opAppend    = ".1.$FI"
	opCommit    = ".2.$FI" // with the message itself
	opCommitEnd = ".3.$FI" // without
	opPing      = ".4.$FI"
)

// pingAfter is how long a batch may get no answer before the server is asked: an
// acknowledgement can be lost when the stream's leader changes.
const pingAfter = time.Second

// batch is one ordered batch: the stream stores a prefix of it, whatever fails. The
// memory is reused.
type batch struct {
	link   *link
	prefix string // of its reply subjects, up to the sequence
	// events are the indexes of the messages in the round, in order.
	events []int32
	// sent and acked count messages of the batch. Acked ones are stored; the events of
	// the first reported ones have their outcome.
	sent, acked, reported uint64
	window                uint64
	// ended is set when the server has ended the batch; err is why, if it did so by
	// itself.
	ended bool
	err   error
}

// deliverBatch publishes the events of the round as one batch. When it returns, what is
// stored is acknowledged. ended is set when the server has ended the batch, so that
// nothing of it can be stored later. When the server refuses a message, it refuses all
// later ones of the batch, too.
func (s *Sink) deliverBatch(ctx context.Context, l *link) (ended bool, err error) {
	b, r := &s.batch, &s.round
	*b = batch{
		link: l, events: b.events[:0], window: batchFlow * batchFlows,
		prefix: l.replyPrefix() + strconv.Itoa(batchFlow) + ".fail.",
	}
	l.unanswered = true
	err = s.sendBatch(ctx, b, r)
	s.report(b)
	l.unanswered = b.sent > 0 && !b.ended
	if err == nil && b.reported == uint64(len(b.events)) {
		return b.ended, nil
	}
	return b.ended, b.failure(err, len(b.events))
}

// sendBatch publishes until everything is acknowledged or the batch has ended.
func (s *Sink) sendBatch(ctx context.Context, b *batch, r *round) error {
	var subject string
	committed := false
	for i := range r.events {
		if r.settled[i] {
			continue
		}
		m, tooLarge := s.encode(b.link, &r.events[i])
		if tooLarge != nil && !s.tooLong(tooLarge) {
			break // What follows goes in a later batch, once the limits are known.
		}
		if tooLarge != nil {
			r.refuse(i, tooLarge)
			continue
		}
		subject = m.Subject
		op := opAppend
		switch {
		case b.sent == 0:
			op = opStart
		case i == len(r.events)-1:
			op, committed = opCommit, true
		}
		b.events = append(b.events, int32(i))
		r.sent[i] = true
		if err := b.publish(ctx, m, op); err != nil || committed {
			if err != nil {
				return err
			}
			break
		}
		err := b.wait(ctx, subject, s.cfg.AckTimeout, func() bool { return b.sent-b.acked < b.window })
		if err != nil || b.ended {
			return err
		}
		s.report(b)
	}
	if b.sent == 0 {
		return nil
	}
	if !committed {
		if err := b.publish(ctx, &natsgo.Msg{Subject: subject}, opCommitEnd); err != nil {
			return err
		}
		b.sent--
	}
	return b.wait(ctx, subject, s.cfg.AckTimeout, func() bool { return false })
}

// report acknowledges the events that are stored.
func (s *Sink) report(b *batch) {
	for ; b.reported < min(b.acked, uint64(len(b.events))); b.reported++ {
		s.round.acknowledge(int(b.events[b.reported]))
	}
}

// publish sends the next message of the batch.
func (b *batch) publish(ctx context.Context, m *natsgo.Msg, op string) error {
	m.Reply = b.prefix + strconv.FormatUint(b.sent+1, 10) + op
	if err := b.link.nc.PublishMsg(m); err != nil {
		return b.link.publishFailed(ctx, err)
	}
	b.sent++
	return nil
}

// wait reads the answers that have arrived, and then more of them until enough returns
// true or the batch ends. It asks the server when no answer comes, and fails after
// timeout without progress.
func (b *batch) wait(ctx context.Context, subject string, timeout time.Duration, enough func() bool) error {
	for len(b.link.replies) > 0 && !b.ended {
		b.handle(<-b.link.replies)
	}
	if b.ended || enough() {
		return nil
	}
	interval := min(pingAfter, timeout/3)
	ping := time.NewTicker(interval)
	defer ping.Stop()
	deadline := time.Now().Add(timeout)
	for !b.ended && !enough() {
		m, err := b.link.next(ctx, ping.C)
		switch {
		case err != nil:
			return err
		case m != nil:
			if acked := b.acked; b.handle(m) && b.acked > acked {
				ping.Reset(interval)
				deadline = time.Now().Add(timeout)
			}
		case time.Now().After(deadline):
			return fmt.Errorf("%w: %d of %d messages of a batch have one, the limit is %s",
				errAckTimeout, b.acked, b.sent, timeout)
		default:
			err := b.link.nc.PublishRequest(subject, b.prefix+strconv.FormatUint(b.sent, 10)+opPing, nil)
			if err != nil {
				return b.link.publishFailed(ctx, err)
			}
		}
	}
	return nil
}

// handle handles an answer. It reports whether it was one to this batch.
func (b *batch) handle(m *natsgo.Msg) bool {
	if !strings.HasPrefix(m.Subject, b.prefix) {
		return false
	}
	r, err := parseReply(m, b.link.fit.Stream)
	switch {
	case err != nil:
		b.ended, b.err = true, err
	case r.Type == "ack":
		b.acked = max(b.acked, min(r.Sequence, b.sent))
		b.window = min(max(r.Messages, 1), batchFlow) * batchFlows
	case r.Type == "gap":
		b.err = fmt.Errorf("message %d of a batch did not arrive", b.acked+1)
	case r.Type == "err" && r.Error != nil:
		b.err, b.link.stale = r.Error, true
	case r.Error != nil:
		b.ended, b.err, b.link.stale = true, r.Error, true
	case r.Type == "":
		b.ended, b.acked = true, max(b.acked, min(r.Count, b.sent))
	}
	return true
}

// failure says why a batch of n messages is not stored whole.
func (b *batch) failure(err error, n int) error {
	switch {
	case err != nil && b.err != nil:
		return errors.Join(b.err, err)
	case err != nil:
		return err
	case b.err != nil:
		return b.err
	}
	return fmt.Errorf("the stream ended a batch after %d of %d messages", b.acked, n)
}
