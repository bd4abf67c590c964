package nats

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/virtcast/virtcast/schema"
)

// lanesWindow is how many messages may be under way in lanes, each of another domain.
const lanesWindow = 512

// lanes is the state of a delivery in lanes. The memory is reused.
type lanes struct {
	acked []bool
	ready []int32 // may be sent; a queue, from next on
	next  int
	// limit is the first event that failed; nothing from it on is sent any more.
	limit    int
	err      error // of event limit
	inFlight int
	sent     int // one more than the last event sent
}

func (a *lanes) reset(n int) {
	if cap(a.acked) < n {
		a.acked = make([]bool, n)
	}
	a.acked = a.acked[:n]
	clear(a.acked)
	*a = lanes{acked: a.acked, ready: a.ready[:0], limit: n}
}

func (a *lanes) push(i int32) { a.ready = append(a.ready, i) }

// fail notes that event i cannot be delivered now.
func (a *lanes) fail(i int, err error) {
	if i < a.limit {
		a.limit, a.err = i, err
	}
}

// prefix returns how many events, counted from the first, are acknowledged.
func (a *lanes) prefix() int {
	for i, ok := range a.acked {
		if !ok {
			return i
		}
	}
	return len(a.acked)
}

// deliverLanes publishes each event when those that it must wait for are acknowledged, up to
// lanesWindow at a time. sent is how many of the events, counted from the first, may be under way.
//
// When an event is refused, the earlier ones are still delivered, so that n is its index.
func (s *Sink) deliverLanes(ctx context.Context, l *link, events []schema.Event) (n, sent int, err error) {
	a := &s.lanes
	a.reset(len(events))
	s.plan.make(events)
	for i, waits := range s.plan.waits {
		if waits == 0 {
			a.push(int32(i))
		}
	}
	prefix := l.replyPrefix()
	timeout := time.NewTimer(s.cfg.AckTimeout)
	defer timeout.Stop()
	for {
		for ; a.next < len(a.ready) && a.inFlight < lanesWindow; a.next++ {
			if i := int(a.ready[a.next]); i < a.limit {
				if err := s.sendLane(ctx, l, prefix, &events[i], i); err != nil {
					return a.prefix(), a.sent, err
				}
			}
		}
		if a.inFlight == 0 {
			return a.prefix(), a.sent, a.err
		}
		m, err := l.next(ctx, timeout.C)
		if err == nil && m == nil {
			err = fmt.Errorf("%w: %d messages wait, the limit is %s", errAckTimeout, a.inFlight, s.cfg.AckTimeout)
		}
		if err != nil {
			return a.prefix(), a.sent, err
		}
		if s.laneReply(prefix, m) {
			timeout.Reset(s.cfg.AckTimeout)
		}
	}
}

// sendLane publishes event i. A message that is too large only ends the delivery there.
func (s *Sink) sendLane(ctx context.Context, l *link, prefix string, e *schema.Event, i int) error {
	m, err := s.encode(l, e)
	if err != nil {
		s.lanes.fail(i, err)
		return nil
	}
	m.Reply = prefix + strconv.Itoa(i)
	if err := l.nc.PublishMsg(m); err != nil {
		return l.publishFailed(ctx, err)
	}
	s.lanes.inFlight++
	s.lanes.sent = max(s.lanes.sent, i+1)
	return nil
}

// laneReply handles the answer to one message. It reports whether it was one.
func (s *Sink) laneReply(prefix string, m *natsgo.Msg) bool {
	index, ours := strings.CutPrefix(m.Subject, prefix)
	i, err := strconv.ParseUint(index, 10, 31)
	a := &s.lanes
	if !ours || err != nil || i >= uint64(len(a.acked)) || a.acked[i] {
		return false
	}
	a.inFlight--
	r, err := parseReply(m)
	if err == nil && r.Error != nil {
		err = permanent(r.Error)
	}
	if err != nil {
		a.fail(int(i), err)
		return true
	}
	if r.Duplicate {
		s.metrics.duplicates.Inc()
	}
	a.acked[i] = true
	s.plan.done(int32(i), a.push)
	return true
}

// replyPrefix returns a prefix for reply subjects that no earlier one equals.
func (l *link) replyPrefix() string {
	l.generation++
	// The end of the inbox is random: it makes the token unique among all clients of a stream.
	return l.inbox + "." + l.inbox[len(l.inbox)-8:] + strconv.FormatUint(l.generation, 36) + "."
}

// reply is an answer of a stream: to one message, or to a batch.
type reply struct {
	Stream    string              `json:"stream"`
	Duplicate bool                `json:"duplicate"`
	Error     *jetstream.APIError `json:"error"`
	// Count is how many messages of a batch are stored, when it has ended.
	Count uint64 `json:"count"`
	// Type is ack, gap or err in the course of a batch; Sequence is then the message's number in the
	// batch, and Messages how many messages there will be to an acknowledgement.
	Type     string `json:"type"`
	Sequence uint64 `json:"seq"`
	Messages uint64 `json:"msgs"`
}

// parseReply parses an answer. An answer that nobody listens is [natsgo.ErrNoResponders].
func parseReply(m *natsgo.Msg) (reply, error) {
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
	return r, nil
}
