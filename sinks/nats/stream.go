package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// errNoAnswer is returned when the JetStream API does not answer in time.
var errNoAnswer = errors.New("no answer in time")

// shortDuplicates is the duplicates window below which a retry after a short outage is
// not covered.
const shortDuplicates = 30 * time.Second

// Fit says how a stream suits this sink.
type Fit struct {
	Stream string
	// Created is set when the sink has just made the stream.
	Created bool
	// Batch is set when events go in ordered batches, else they go in lanes.
	Batch bool
	// MaxMessage is the largest message that can be stored, in bytes, with its headers.
	MaxMessage int
	// Duplicates is how long the stream remembers ids.
	Duplicates time.Duration
	Replicas   int
	// Advice holds what works, but could be better, and how. Lower-case phrases.
	Advice []string
}

// open looks at the stream, and creates it where it is missing and the configuration asks
// for it.
func (s *Sink) open(ctx context.Context, l *link) error {
	l.fit = Fit{MaxMessage: int(l.nc.MaxPayload())}
	if s.cfg.Mode == ModeCore {
		return nil
	}
	batches := allowsBatches(l.nc.ConnectedServerVersion())
	config, err := l.streamRequest(ctx, "INFO", s.cfg.Stream, nil, s.cfg.AckTimeout)
	if errors.Is(err, jetstream.ErrStreamNotFound) && s.cfg.Create {
		l.fit.Created = true
		config, err = l.streamRequest(ctx, "CREATE", s.cfg.Stream, s.creation(batches), s.cfg.AckTimeout)
	}
	if err != nil {
		return s.streamError(err)
	}
	return s.inspect(l, config, batches)
}

// allowsBatches reports whether a server of that version has streams that allow batches.
func allowsBatches(version string) bool {
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil {
		return false
	}
	return major > 2 || major == 2 && minor >= 14
}

// streamRequest asks the JetStream API about a stream, and returns the stream's
// configuration. Unlike the client library, it notices at once when the request is not
// permitted.
func (l *link) streamRequest(ctx context.Context, op, stream string, body any, timeout time.Duration) (jetstream.StreamConfig, error) {
	var answer struct {
		Config jetstream.StreamConfig `json:"config"`
		Error  *jetstream.APIError    `json:"error"`
	}
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			return answer.Config, fmt.Errorf("encode request: %w", err)
		}
	}
	replyTo := l.replyPrefix() + "api"
	if err := l.nc.PublishRequest("$JS.API.STREAM."+op+"."+stream, replyTo, data); err != nil {
		return answer.Config, err
	}
	expired := time.NewTimer(timeout)
	defer expired.Stop()
	for {
		m, err := l.next(ctx, expired.C)
		switch {
		case err != nil:
			return answer.Config, err
		case m == nil:
			return answer.Config, fmt.Errorf("%w: the limit is %s", errNoAnswer, timeout)
		case m.Subject != replyTo:
			continue
		case len(m.Data) == 0 && m.Header.Get("Status") == "503":
			return answer.Config, natsgo.ErrNoResponders
		}
		if err := json.Unmarshal(m.Data, &answer); err != nil {
			return answer.Config, fmt.Errorf("decode answer: %w", err)
		}
		if answer.Error != nil {
			return answer.Config, answer.Error
		}
		return answer.Config, nil
	}
}

// creation is the stream that Create makes.
func (s *Sink) creation(batch bool) jetstream.StreamConfig {
	if s.bucket != "" {
		return s.bucketConfig()
	}
	return s.streamConfig(batch)
}

// streamConfig is a stream of events: it keeps everything, within MaxAge and MaxBytes,
// and discards the oldest when full, since an event that cannot be published would hold
// up all later ones.
func (s *Sink) streamConfig(batch bool) jetstream.StreamConfig {
	storage := jetstream.FileStorage
	if s.cfg.Storage == StorageMemory {
		storage = jetstream.MemoryStorage
	}
	maxBytes := s.cfg.MaxBytes
	if maxBytes == 0 {
		maxBytes = -1
	}
	return jetstream.StreamConfig{
		Name:              s.cfg.Stream,
		Description:       "events of virtual machines, published by virtcast",
		Subjects:          []string{s.subject.filter()},
		Retention:         jetstream.LimitsPolicy,
		Discard:           jetstream.DiscardOld,
		Storage:           storage,
		Replicas:          s.cfg.Replicas,
		MaxAge:            s.cfg.MaxAge,
		MaxBytes:          maxBytes,
		Duplicates:        s.cfg.Duplicates,
		AllowDirect:       true,
		AllowBatchPublish: batch,
	}
}

// misfitError is what makes a stream unfit for the events.
type misfitError string

func (e misfitError) Error() string { return string(e) }

func isMisfit(err error) bool {
	var misfit misfitError
	return errors.As(err, &misfit)
}

// inspect fails for a stream that cannot take the events, and notes how well it takes
// them.
func (s *Sink) inspect(l *link, c jetstream.StreamConfig, batches bool) error {
	f := &l.fit
	f.Stream, f.Duplicates, f.Replicas, f.Batch = c.Name, c.Duplicates, c.Replicas, c.AllowBatchPublish
	if c.MaxMsgSize > 0 {
		f.MaxMessage = min(f.MaxMessage, int(c.MaxMsgSize))
	}
	covered := false
	for _, filter := range c.Subjects {
		covered = covered || covers(filter, s.subject.pattern)
	}
	misfit := func(problem, hint string) error {
		return &Error{Op: "stream " + c.Name, Err: misfitError(problem), Hint: hint}
	}
	switch {
	case c.Mirror != nil:
		return misfit("it is a mirror, which nobody can publish to", "set stream to the name of the one it mirrors")
	case c.Sealed:
		return misfit("it is sealed", "set stream to another one")
	case !covered:
		return misfit(fmt.Sprintf("its subjects %q do not cover %s", c.Subjects, s.subject.pattern),
			fmt.Sprintf("add %s to its subjects, or change subject", s.subject.filter()))
	case c.NoAck:
		return misfit("it acknowledges nothing (no_ack)", "remove no_ack, or set mode: core")
	}
	if s.bucket != "" {
		return s.inspectBucket(f, c)
	}
	advise := func(format string, args ...any) { f.Advice = append(f.Advice, fmt.Sprintf(format, args...)) }
	if c.Duplicates < shortDuplicates {
		advise("duplicates window is %s: an event that is sent again later than that is stored twice; 2m is usual", c.Duplicates)
	}
	if c.Discard == jetstream.DiscardNew && (c.MaxBytes > 0 || c.MaxMsgs > 0 || c.MaxMsgsPerSubject > 0) {
		advise("discard policy is new: when the stream is full, nothing is published until there is room")
	}
	if c.MaxMsgsPerSubject > 0 {
		advise("max_msgs_per_subject is %d: older events of the same subject are discarded", c.MaxMsgsPerSubject)
	}
	if c.Retention != jetstream.LimitsPolicy {
		advise("retention is %s: events are removed once consumed, or not stored while nobody is interested", c.Retention)
	}
	if !c.AllowBatchPublish && batches {
		advise("allow_batched is off: set it for higher throughput, above all where one domain has many events")
	}
	return nil
}
