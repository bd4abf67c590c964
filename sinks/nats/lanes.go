package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// lanesWindow is how many messages may be unanswered in lanes, each of another object.
const lanesWindow = 512

// lanes is a delivery in lanes. The memory is reused.
type lanes struct {
	ready []int32 // events that may be sent: a queue, from next on
	next  int
	// unanswered is true for the events that were sent and not answered; inFlight counts
	// them.
	unanswered []bool
	inFlight   int
	err        error // the first that leaves an event without outcome
}

func (a *lanes) begin(n int) {
	if cap(a.unanswered) < n {
		a.unanswered = make([]bool, n)
	}
	a.unanswered = a.unanswered[:n]
	clear(a.unanswered)
	*a = lanes{unanswered: a.unanswered, ready: a.ready[:0]}
}

func (a *lanes) push(i int32) { a.ready = append(a.ready, i) }

// fail notes why an event has no outcome. What waits for the event is not sent in this
// round; everything else is.
func (a *lanes) fail(err error) {
	if a.err == nil {
		a.err = err
	}
}

// deliverLanes publishes each event of the round that has no outcome, as soon as those
// that it must wait for have theirs, up to lanesWindow at a time.
func (s *Sink) deliverLanes(ctx context.Context, l *link) error {
	a := s.startLanes()
	prefix := l.replyPrefix()
	timeout := time.NewTimer(s.cfg.AckTimeout)
	defer timeout.Stop()
	defer func() { l.unanswered = a.inFlight > 0 }()
	for {
		for ; a.next < len(a.ready) && a.inFlight < lanesWindow; a.next++ {
			if err := s.sendLane(ctx, l, prefix, int(a.ready[a.next])); err != nil {
				s.drainLanes(l, prefix)
				return err
			}
		}
		if a.inFlight == 0 {
			return a.err
		}
		m, err := l.next(ctx, timeout.C)
		switch {
		case err == nil && m == nil:
			return fmt.Errorf("%w: %d messages wait, the limit is %s", errAckTimeout, a.inFlight, s.cfg.AckTimeout)
		case err != nil && !s.denied(err):
			s.drainLanes(l, prefix)
			return err
		case err == nil && s.laneReply(l, prefix, m):
			timeout.Reset(s.cfg.AckTimeout)
		}
	}
}

// startLanes finds the events that may be sent at once.
func (s *Sink) startLanes() *lanes {
	a, r := &s.lanes, &s.round
	a.begin(len(r.events))
	s.order.arrange(r.events, r.settled)
	for i, waits := range s.order.waits {
		if waits == 0 && !r.settled[i] {
			a.push(int32(i))
		}
	}
	return a
}

// sendLane publishes event i.
func (s *Sink) sendLane(ctx context.Context, l *link, prefix string, i int) error {
	m, tooLarge := s.encode(l, &s.round.events[i])
	if tooLarge != nil {
		if s.tooLong(tooLarge) {
			s.settleLane(i, tooLarge)
		}
		return nil
	}
	m.Reply = prefix + strconv.Itoa(i)
	s.round.sent[i] = true
	if err := l.nc.PublishMsg(m); err != nil {
		return l.publishFailed(ctx, err)
	}
	s.lanes.unanswered[i] = true
	s.lanes.inFlight++
	return nil
}

// drainLanes handles the answers that have arrived before the connection was lost.
func (s *Sink) drainLanes(l *link, prefix string) {
	for len(l.replies) > 0 {
		s.laneReply(l, prefix, <-l.replies)
	}
}

// laneReply handles the answer to one message. It reports whether it was one.
func (s *Sink) laneReply(l *link, prefix string, m *natsgo.Msg) bool {
	index, ours := strings.CutPrefix(m.Subject, prefix)
	i, err := strconv.ParseUint(index, 10, 31)
	a := &s.lanes
	if !ours || err != nil || i >= uint64(len(a.unanswered)) || !a.unanswered[i] {
		return false
	}
	a.unanswered[i] = false
	a.inFlight--
	answer, err := parseReply(m, s.cfg.Stream)
	switch {
	case err == nil && answer.Error != nil:
		// A duplicate of a message that is being replicated may be stored, or be lost.
		s.round.sent[i] = isCode(answer.Error, codeDuplicateOnItsWay)
		err, l.stale = sizeRefusal(answer.Error), true
	case err != nil:
		s.round.sent[i] = false
	case answer.Duplicate:
		s.metrics.duplicates.Inc()
	default:
		s.guard.stored()
	}
	s.settleLane(int(i), err)
	return true
}

// settleLane gives event i its outcome, unless err is transient.
func (s *Sink) settleLane(i int, err error) {
	switch {
	case err == nil:
		s.round.acknowledge(i)
	case isTooLarge(err):
		s.round.refuse(i, err)
	default:
		s.lanes.fail(err)
		return
	}
	s.order.release(int32(i), s.lanes.push)
}

// denied handles the server's refusal of a subject: it gets no other answer. It reports
// whether err is one that concerns single subjects only.
func (s *Sink) denied(err error) bool {
	subject, ok := deniedSubject(err)
	if !ok {
		return false
	}
	var one []byte
	for i, sent := range s.lanes.unanswered {
		if !sent {
			continue
		}
		if one = s.subject.appendTo(one[:0], &s.round.events[i]); string(one) == subject {
			s.lanes.unanswered[i] = false
			s.lanes.inFlight--
			s.round.sent[i] = false
			s.lanes.fail(err)
		}
	}
	return true
}

// deniedSubject returns the subject that the server does not let this user publish to.
func deniedSubject(err error) (subject string, denied bool) {
	if !errors.Is(err, natsgo.ErrPermissionViolation) {
		return "", false
	}
	_, rest, ok := strings.Cut(err.Error(), `for Publish to "`)
	subject, _, denied = strings.Cut(rest, `"`)
	return subject, ok && denied
}

// replyPrefix returns a prefix for reply subjects that no earlier one equals.
func (l *link) replyPrefix() string {
	l.generation++
	// The end of the inbox is random. It makes the token unique among all clients of a
	// stream.
	return l.inbox + "." + l.inbox[len(l.inbox)-8:] + strconv.FormatUint(l.generation, 36) + "."
}

// reply is an answer of a stream: to one message, or to a batch.
type reply struct {
	Stream    string              `json:"stream"`
	Duplicate bool                `json:"duplicate"`
	Error     *jetstream.APIError `json:"error"`
	// Count is how many messages of a batch are stored, when it has ended.
	Count uint64 `json:"count"`
	// Type is ack, gap or err in the course of a batch. Sequence is then the message's
	// number in the batch, and Messages how many messages there will be to an
	// acknowledgement.
	Type     string `json:"type"`
	Sequence uint64 `json:"seq"`
	Messages uint64 `json:"msgs"`
}

// errOtherStream is returned when another stream than the configured one has stored a
// message.
var errOtherStream = errors.New("another stream has answered")

// parseReply parses an answer, which must be that stream's. Where no stream listens, it
// returns [natsgo.ErrNoResponders].
func parseReply(m *natsgo.Msg, stream string) (reply, error) {
	var r reply
	if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
		return r, natsgo.ErrNoResponders
	}
	if err := json.Unmarshal(m.Data, &r); err != nil {
		return r, fmt.Errorf("answer %.100q: %w", m.Data, err)
	}
	if r.Stream == "" && r.Type == "" && r.Error == nil {
		return r, fmt.Errorf("answer %.100q is not a stream's", m.Data)
	}
	if r.Stream != "" && r.Stream != stream && r.Error == nil {
		return r, fmt.Errorf("%w: %s", errOtherStream, r.Stream)
	}
	return r, nil
}
