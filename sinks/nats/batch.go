package nats

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/virtcast/virtcast/schema"
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

// pingAfter is how long nothing may be heard of a batch before the server is asked; an
// acknowledgement can be lost when the stream's leader changes.
const pingAfter = time.Second

// batch is one ordered batch: the stream stores a prefix of it, whatever happens.
type batch struct {
	link   *link
	prefix string // of its reply subjects, up to the sequence
	// sent, acked count messages of the batch: acked ones are stored.
	sent, acked uint64
	window      uint64
	// ended is set when the server has ended the batch; err is why, if it did so by itself.
	ended bool
	err   error
}

// deliverBatch publishes events as one batch. sent is how many of the events, counted from the first,
// may be under way. When a message is refused by the server, all later ones are;
// which one is then found by sending in lanes.
func (s *Sink) deliverBatch(ctx context.Context, l *link, events []schema.Event) (n, sent int, err error) {
	b := &batch{
		link: l, window: batchFlow * batchFlows,
		prefix: l.replyPrefix() + strconv.Itoa(batchFlow) + ".fail.",
	}
	var tooLarge error
	var subject string
	for i := range events {
		var m *natsgo.Msg
		if m, tooLarge = s.encode(l, &events[i]); tooLarge != nil {
			break
		}
		subject = m.Subject
		op := opAppend
		switch {
		case i == len(events)-1:
			op = opCommit
		case i == 0:
			op = opStart
		}
		if err = b.publish(ctx, m, op); err == nil && op != opCommit {
			err = b.wait(ctx, subject, s.cfg.AckTimeout, func() bool { return b.sent-b.acked < b.window })
		}
		if err != nil || b.ended {
			return int(b.acked), int(b.sent), b.failure(err, len(events))
		}
	}
	if b.sent == 0 {
		return 0, 0, tooLarge
	}
	want := b.sent
	if tooLarge != nil {
		err = b.publish(ctx, &natsgo.Msg{Subject: subject}, opCommitEnd)
		b.sent--
	}
	if err == nil {
		err = b.wait(ctx, subject, s.cfg.AckTimeout, func() bool { return false })
	}
	if err != nil || b.acked < want {
		return int(b.acked), int(b.sent), b.failure(err, len(events))
	}
	return int(want), int(want), tooLarge
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

// wait reads the answers that are there, and then more of them until enough or the end of the batch. It asks the
// server when it hears nothing, and gives up after timeout without progress.
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
			return fmt.Errorf("%w: %d of %d messages of a batch are, the limit is %s", errAckTimeout, b.acked, b.sent, timeout)
		default:
			err := b.link.nc.PublishRequest(subject, b.prefix+strconv.FormatUint(b.sent, 10)+opPing, nil)
			if err != nil {
				return b.link.publishFailed(ctx, err)
			}
		}
	}
	return nil
}

// handle takes in an answer. It reports whether it was one to this batch.
func (b *batch) handle(m *natsgo.Msg) bool {
	if !strings.HasPrefix(m.Subject, b.prefix) {
		return false
	}
	r, err := parseReply(m)
	switch {
	case err != nil:
		b.ended, b.err = true, err
	case r.Type == "ack":
		b.acked = max(b.acked, min(r.Sequence, b.sent))
		b.window = min(max(r.Messages, 1), batchFlow) * batchFlows
	case r.Type == "gap":
		b.err = fmt.Errorf("message %d of a batch did not arrive", b.acked+1)
	case r.Type == "err" && r.Error != nil:
		b.err = r.Error
	case r.Error != nil:
		b.ended, b.err = true, r.Error
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
