package drivertest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/virtcast/virtcast/drivers"
	"github.com/virtcast/virtcast/schema"
)

// historySession is one open History.
type historySession struct {
	connection *schema.Connection
	out        func(drivers.Batch)
	poll       time.Duration
	resumed    bool
	// watched is closed by the first Watch, closing by Close, done when run has returned.
	watched, closing, done chan struct{}
	once                   struct{ watch, close sync.Once }

	// Open and then run own what follows. rest is the beginning of a line that is not
	// whole yet.
	file  *os.File
	lines *bufio.Reader
	rest  []byte
	// ahead is an event that was read too early, last the number of the last one taken.
	ahead *HistoryEvent
	last  uint64

	// mu guards what follows. It is held while out is called.
	mu     sync.Mutex
	want   map[drivers.Filter]bool
	sure   time.Time
	err    error
	closed bool
}

// seek reads the events up to a position; without one, all that there are.
func (s *historySession) seek(p schema.Position) error {
	behind := uint64(1<<64 - 1)
	if p != nil {
		var err error
		if behind, err = strconv.ParseUint(string(p), 10, 64); err != nil {
			return fmt.Errorf("history: position %q: %w", p, err)
		}
		s.last = behind
	}
	for seen := false; ; seen = true {
		e, ok, err := s.next(behind)
		if err != nil || !ok {
			// An empty history does not tell whether something was forgotten.
			s.resumed = seen && s.last == behind
			return err
		}
		if e.Number > behind {
			// The first event behind the position is the next one, or some were
			// forgotten.
			s.resumed = e.Number == behind+1
			s.last = e.Number - 1
			return nil
		}
		s.last = e.Number
	}
}

// next takes the next event off the file. ok is false at the end of the file. An event
// whose number is beyond a limit is returned once more.
func (s *historySession) next(limit uint64) (e HistoryEvent, ok bool, err error) {
	if ahead := s.ahead; ahead != nil {
		s.ahead = nil
		return *ahead, true, nil
	}
	line, err := s.lines.ReadBytes('\n')
	s.rest = append(s.rest, line...)
	if errors.Is(err, io.EOF) {
		return e, false, nil // what there is of a line waits for its end
	}
	if err != nil {
		return e, false, err
	}
	if e, err = parseHistory(s.rest); err != nil {
		return e, false, err
	}
	s.rest = nil
	if e.Number > limit {
		s.ahead = &e
	}
	return e, true, nil
}

// run delivers what is behind the position, and then what is appended.
func (s *historySession) run() {
	defer close(s.done)
	defer func() { _ = s.file.Close() }() // it was only read
	select {
	case <-s.watched:
	case <-s.closing:
		return
	}
	tick := time.NewTicker(s.poll)
	defer tick.Stop()
	for {
		if err := s.deliver(); err != nil {
			s.lose(err)
			return
		}
		select {
		case <-tick.C:
		case <-s.closing:
			return
		}
	}
}

// lose ends the session with an error.
func (s *historySession) lose(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.closed = err, true
}

// deliver delivers what the file has.
func (s *historySession) deliver() error {
	began := time.Now().UTC()
	for {
		var events []HistoryEvent
		for len(events) < historyBatch {
			e, ok, err := s.next(1<<64 - 1)
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			if e.Number != s.last+1 {
				return ErrHistoryCut
			}
			s.last = e.Number
			events = append(events, e)
		}
		if len(events) == 0 {
			break
		}
		s.send(events)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sure = began
	return nil
}

func (s *historySession) send(events []HistoryEvent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	batch := drivers.Batch{Position: schema.Position(strconv.FormatUint(s.last, 10))}
	now := time.Now().UTC()
	for _, e := range events {
		if s.want[all] || s.want[of(e.Domain)] {
			batch.Observations = append(batch.Observations, schema.Observation{
				Connection: s.connection, Kind: schema.KindLifecycle,
				Object: schema.Object{UUID: e.Domain, Name: "domain", ID: 1}, Event: e.Event, Detail: e.Detail, Received: now,
			})
		}
	}
	s.out(batch)
}

// Watch implements [drivers.Session]. The history has lifecycle events only.
func (s *historySession) Watch(_ context.Context, want []drivers.Filter) (missing []drivers.Missing, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errHistoryOver
	}
	s.want = map[drivers.Filter]bool{}
	for _, f := range want {
		if f.Kind != schema.KindLifecycle {
			missing = append(missing, drivers.Missing{Filter: f, Err: historyKindError{f.Kind}})
			continue
		}
		s.want[f] = true
	}
	s.once.watch.Do(func() { close(s.watched) })
	return missing, nil
}

// List implements [drivers.Session]: the history knows events, not states.
func (s *historySession) List(context.Context) error { return errors.ErrUnsupported }

func (s *historySession) Connection() *schema.Connection { return s.connection }
func (s *historySession) Resumed() bool                  { return s.resumed }
func (s *historySession) Done() <-chan struct{}          { return s.done }

func (s *historySession) Sure() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sure
}

func (s *historySession) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *historySession) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.once.close.Do(func() { close(s.closing) })
	<-s.done
	return nil
}

var errHistoryOver = errors.New("history: the session is over")

// historyKindError is the permanent error for a kind that a history does not have.
type historyKindError struct{ kind schema.Kind }

func (e historyKindError) Error() string   { return "a history has no events of kind " + e.kind.String() }
func (e historyKindError) Permanent() bool { return true }
