package drivertest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/virtcast/virtcast/drivers"
	"github.com/virtcast/virtcast/schema"
)

// History is a hypervisor that keeps its events in a file, and the driver that reads them
// there: the proof that a session can resume. Each line is an event with its number, from
// 1 without a gap. The number of the last event is the position.
//
// The file may be written by another process than the one that reads it. The zero value
// of all but Path is ready for use.
type History struct {
	// Path is the file. It need not exist yet.
	Path string
	// Name is the name of the connection; "" is "history".
	Name string
	// Poll is how often the file is looked at; 0 is a millisecond.
	Poll time.Duration
}

var _ drivers.Driver = (*History)(nil)

// historyBatch is the most events that are delivered at once.
const historyBatch = 64

// ErrHistoryCut ends a session that finds events missing in the file.
var ErrHistoryCut = errors.New("the history was cut off ahead of the session")

// HistoryEvent is a lifecycle event in the file.
type HistoryEvent struct {
	Number        uint64
	Domain        schema.UUID
	Event, Detail int32
}

// Append writes events to the end of the file, as the hypervisor does. The caller numbers
// them.
func (h *History) Append(events ...HistoryEvent) error {
	f, err := os.OpenFile(h.Path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	for _, e := range events {
		fmt.Fprintln(&b, e.Number, e.Domain, e.Event, e.Detail)
	}
	_, err = f.Write(b.Bytes())
	return errors.Join(err, f.Close())
}

// Forget drops all events before a number, as a hypervisor does whose history is bounded.
func (h *History) Forget(before uint64) error {
	b, err := os.ReadFile(h.Path)
	if err != nil {
		return err
	}
	for len(b) > 0 {
		line, rest, _ := bytes.Cut(b, []byte("\n"))
		if e, err := parseHistory(line); err != nil || e.Number >= before {
			break
		}
		b = rest
	}
	next := h.Path + ".next"
	if err := os.WriteFile(next, b, 0o600); err != nil {
		return err
	}
	return os.Rename(next, h.Path)
}

func parseHistory(line []byte) (HistoryEvent, error) {
	var e HistoryEvent
	var uuid string
	if _, err := fmt.Sscan(string(line), &e.Number, &uuid, &e.Event, &e.Detail); err != nil {
		return e, fmt.Errorf("history: line %q: %w", line, err)
	}
	var err error
	e.Domain, err = schema.ParseUUID(uuid)
	return e, err
}

// Open implements [drivers.Driver].
func (h *History) Open(_ context.Context, p schema.Position, out func(drivers.Batch)) (drivers.Session, error) {
	s := &historySession{
		out: out, poll: h.Poll, watched: make(chan struct{}), closing: make(chan struct{}), done: make(chan struct{}),
		connection: &schema.Connection{Name: h.Name, URI: "history:///", Source: "history://host/"},
	}
	if h.Name == "" {
		s.connection.Name = "history"
	}
	if s.poll <= 0 {
		s.poll = time.Millisecond
	}
	f, err := os.OpenFile(h.Path, os.O_RDONLY|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	s.file, s.lines = f, bufio.NewReader(f)
	if err := s.seek(p); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	go s.run()
	return s, nil
}
