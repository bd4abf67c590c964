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

	"github.com/virtcast/virtcast/schema"
)

const (
	// maxUnconfirmed bounds how many messages are remembered that were sent and not
	// answered.
	maxUnconfirmed = 16384
	// maxWindowSlack is how long before the end of the duplicates window a message is
	// asked for already; a short window has half of itself.
	maxWindowSlack = 10 * time.Second
	// emptyRounds is how many rounds in a row may ask in vain, until the sink asks no
	// more for what an earlier process may have sent.
	emptyRounds = 10
	// askWindow is how many questions may be unanswered.
	askWindow = 256
)

// unconfirmed knows which events may be stored although no answer said so: those that
// were sent and not answered, and those that an earlier process may have sent. Within the
// stream's duplicates window, sending them again is safe. After it, the stream would
// store them a second time, so that the sink asks first.
//
// This is the only thing that the sink remembers about single events.
type unconfirmed struct {
	// sent is when each message was first sent, by its id.
	sent map[string]time.Time
	// before is the time up to which every event may have been sent: at first, when the
	// process began. It is zero once emptyRounds rounds in a row have asked in vain;
	// empty counts these.
	before time.Time
	empty  int
}

// windowSlack returns how long before the end of the window to ask.
func windowSlack(window time.Duration) time.Duration { return min(maxWindowSlack, window/2) }

// age returns the time from then to now: by the clock on the wall where that is longer,
// since the other one may stand still while the machine sleeps.
func age(then, now time.Time) time.Duration {
	return max(now.Sub(then), now.Round(0).Sub(then.Round(0)))
}

// due reports whether the stream may hold an event without still knowing its id.
func (u *unconfirmed) due(e *schema.Event, id func() string, now time.Time, window time.Duration) bool {
	limit := window - windowSlack(window)
	if e.Received.Before(u.before) && age(e.Received, now) > limit {
		return true
	}
	if len(u.sent) == 0 {
		return false
	}
	sent, ok := u.sent[id()]
	return ok && age(sent, now) > limit
}

// add notes that a message was sent and not answered. Where there are too many, every
// event up to now may have been.
func (u *unconfirmed) add(id string, when time.Time) {
	if _, ok := u.sent[id]; ok {
		return
	}
	if len(u.sent) >= maxUnconfirmed {
		u.before, u.empty = when, 0
		clear(u.sent)
	}
	if u.sent == nil {
		u.sent = map[string]time.Time{}
	}
	u.sent[id] = when
}

// remember notes what the round has left without an answer, and forgets what has one.
func (s *Sink) remember(start time.Time) {
	u, r := &s.unconfirmed, &s.round
	if s.bucket != "" || r.open == 0 && len(u.sent) == 0 {
		return
	}
	for i := range r.events {
		switch {
		case r.settled[i] && len(u.sent) > 0:
			delete(u.sent, s.encoder.id(&r.events[i]))
		case !r.settled[i] && r.sent[i]:
			u.add(s.encoder.id(&r.events[i]), start)
		}
	}
}

// confirm acknowledges the events of the round that the stream has stored already, as far
// as it may not know their ids any more. A state may be stored twice.
func (s *Sink) confirm(ctx context.Context, l *link) error {
	u, r := &s.unconfirmed, &s.round
	if s.bucket != "" || len(u.sent) == 0 && u.before.IsZero() {
		return nil
	}
	now := time.Now()
	r.asked = r.asked[:0]
	for i := range r.events {
		e := &r.events[i]
		if u.due(e, func() string { return s.encoder.id(e) }, now, l.fit.Duplicates) {
			r.asked = append(r.asked, int32(i))
		}
	}
	if len(r.asked) == 0 {
		return nil
	}
	last, err := s.lastIDs(ctx, l, r.asked)
	switch {
	case err == nil, errors.Is(err, jetstream.ErrStreamNotFound): // Such a stream has nothing.
	case s.cannotAsk(ctx, err):
		u.before = time.Time{}
	default:
		return err
	}
	u.empty++
	if s.acknowledgeStored(last) > 0 {
		u.empty = 0
	}
	if u.empty >= emptyRounds {
		u.before = time.Time{}
	}
	return nil
}

// cannotAsk reports whether the stream cannot be asked at all, and warns of it. The
// events are then sent without having asked: a duplicate is better than a loss.
func (s *Sink) cannotAsk(ctx context.Context, err error) bool {
	if !errors.Is(err, natsgo.ErrPermissionViolation) && !errors.Is(err, natsgo.ErrNoResponders) {
		return false
	}
	s.log.WarnContext(ctx, "the stream cannot be asked for events that may be stored already; some may be stored twice",
		"stream", s.cfg.Stream, "error", err, "cure", "let this user publish to $JS.API.STREAM.MSG.GET."+s.cfg.Stream)
	return true
}

// objectOfSource is an object as one source tells of it: its events are stored in their
// order.
type objectOfSource struct {
	source string
	object schema.ObjectKey
}

// acknowledgeStored acknowledges what is stored, where last has the id of each subject's
// last message: the event with this id, and the events before it that are about the same
// object. It returns how many these are. The others are taken as not stored.
func (s *Sink) acknowledgeStored(last map[string]string) (found int) {
	r := &s.round
	upTo := map[objectOfSource]int32{}
	key := func(i int32) objectOfSource {
		e := &r.events[i]
		return objectOfSource{e.Connection.Source, e.Object.Key()}
	}
	for _, i := range r.asked {
		e := &r.events[i]
		if id := s.encoder.id(e); id == last[s.subjectOf(e)] {
			upTo[key(i)] = i
		} else {
			delete(s.unconfirmed.sent, id)
		}
	}
	for _, i := range r.asked {
		if end, ok := upTo[key(i)]; ok && i <= end {
			s.metrics.duplicates.Inc()
			s.round.acknowledge(int(i))
			delete(s.unconfirmed.sent, s.encoder.id(&r.events[i]))
			found++
		}
	}
	return found
}

// subjectOf returns the subject of an event.
func (s *Sink) subjectOf(e *schema.Event) string { return string(s.subject.appendTo(nil, e)) }

// lastIDs asks the stream's leader for the last message of the subject of each of these
// events, and returns the messages' ids by subject. The leader is asked, and not any
// replica, since a replica may be behind.
func (s *Sink) lastIDs(ctx context.Context, l *link, events []int32) (map[string]string, error) {
	last := map[string]string{}
	var subjects []string
	for _, i := range events {
		subject := s.subjectOf(&s.round.events[i])
		if _, ok := last[subject]; !ok {
			last[subject] = ""
			subjects = append(subjects, subject)
		}
	}
	prefix := l.replyPrefix()
	timeout := time.NewTimer(s.cfg.AckTimeout)
	defer timeout.Stop()
	asked, answered := 0, 0
	for answered < len(subjects) {
		for ; asked < len(subjects) && asked-answered < askWindow; asked++ {
			if err := l.askLast(ctx, s.cfg.Stream, subjects[asked], prefix+strconv.Itoa(asked)); err != nil {
				return nil, err
			}
		}
		m, err := l.next(ctx, timeout.C)
		switch {
		case err != nil:
			return nil, err
		case m == nil:
			return nil, fmt.Errorf("ask for the last messages: %w: the limit is %s", errNoAnswer, s.cfg.AckTimeout)
		}
		index, ours := strings.CutPrefix(m.Subject, prefix)
		at, err := strconv.ParseUint(index, 10, 31)
		if !ours || err != nil || at >= uint64(asked) {
			continue
		}
		answered++
		timeout.Reset(s.cfg.AckTimeout)
		if last[subjects[at]], err = idOf(m); err != nil {
			return nil, fmt.Errorf("ask for the last message of %s: %w", subjects[at], err)
		}
	}
	return last, nil
}

// askLast asks for the last message of a subject.
func (l *link) askLast(ctx context.Context, stream, subject, replyTo string) error {
	request, err := json.Marshal(struct {
		LastBySubject string `json:"last_by_subj"`
	}{subject})
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	if err := l.nc.PublishRequest("$JS.API.STREAM.MSG.GET."+stream, replyTo, request); err != nil {
		return l.publishFailed(ctx, err)
	}
	return nil
}

// idOf returns the id of the message in an answer, or "" where there is none.
func idOf(m *natsgo.Msg) (string, error) {
	if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
		return "", natsgo.ErrNoResponders
	}
	var answer struct {
		Message struct {
			Header []byte `json:"hdrs"`
		} `json:"message"`
		Error *jetstream.APIError `json:"error"`
	}
	switch err := json.Unmarshal(m.Data, &answer); {
	case err != nil:
		return "", fmt.Errorf("decode answer: %w", err)
	case answer.Error != nil && answer.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return "", nil
	case answer.Error != nil:
		return "", answer.Error
	case len(answer.Message.Header) == 0:
		return "", nil
	}
	header, err := natsgo.DecodeHeadersMsg(answer.Message.Header)
	if err != nil {
		return "", nil //nolint:nilerr // A message with such a header is another publisher's.
	}
	return header.Get(messageIDHeader), nil
}
