package jsonl

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/virtcast/virtcast/schema"
)

// ErrClosed is returned by every method after Close.
var ErrClosed = errors.New("jsonl sink is closed")

// chunk is how many bytes are collected before they are written.
const chunk = 256 << 10

// Sink appends events to a file or the standard output. Its methods may be called
// concurrently, and wait for one another.
type Sink struct {
	path string

	mu     sync.Mutex // guards what follows
	file   output     // nil when not open
	info   fs.FileInfo
	stdout bool // file is os.Stdout itself, which is not ours to close
	closed bool
	buf    []byte
	ends   []int // where each line in buf ends
	// torn is what is missing of the line of the event tornID, of which a part is in a
	// pipe already. It is written before anything else.
	torn   []byte
	tornID string
	// written is the event whose torn line was completed by a call that it was not
	// presented to.
	written string
}

// New returns a sink that has not opened its file yet. The error is a fault of cfg, see
// [Config.Validate].
func New(cfg Config) (*Sink, error) {
	if err := cfg.Validate(""); err != nil {
		return nil, fmt.Errorf("jsonl sink: %w", err)
	}
	return &Sink{path: cfg.Path}, nil
}

// Deliver appends events; see package bridge for the contract. Every error is transient:
// a full disk, a pipe without a reader. It returns when ctx ends, even while a pipe or a
// terminal does not take more; a disk that does not answer, and a standard output that is
// a socket, hold it up.
//
// What was written of an event without outcome is cut off again, or, in a pipe, is the
// beginning of a line that the next call completes before all else.
func (s *Sink) Deliver(ctx context.Context, events []schema.Event, outcome func(i int, err error)) error {
	n, err := s.write(ctx, events)
	for i := range n {
		outcome(i, nil)
	}
	return err
}

// write writes events until one fails, and returns how many it has written.
func (s *Sink) write(ctx context.Context, events []schema.Event) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := context.Cause(ctx); err != nil {
		return 0, err
	}
	if err := s.ensureOpen(); err != nil {
		return 0, s.explain("open", err)
	}
	if len(events) == 0 {
		return 0, nil
	}
	stop := s.interruptWith(ctx)
	defer stop()
	if s.info.Mode().IsRegular() {
		n, err = s.appendFile(ctx, events)
	} else {
		n, err = s.appendStream(ctx, events)
	}
	switch {
	case err == nil:
		return n, nil
	case ctx.Err() != nil:
		return n, context.Cause(ctx)
	}
	return n, s.explain("write", err)
}

// Reopen closes the file, so that the next Deliver opens what is then at the path. For
// a rotation that signals (SIGHUP); without a signal, the same happens by itself.
func (s *Sink) Reopen() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	return s.closeFile()
}

// Close closes the file. It waits for a Deliver that is under way. It may be called
// twice.
func (s *Sink) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return s.closeFile()
}

// ensureOpen opens what is at the path, unless it is open.
func (s *Sink) ensureOpen() error {
	if s.closed {
		return ErrClosed
	}
	if s.file != nil {
		if s.path == Stdout {
			return nil
		}
		current, err := os.Stat(s.path)
		if err == nil && os.SameFile(current, s.info) {
			return nil
		}
		// The old file is complete and synced. An error in closing it says nothing about
		// it.
		_ = s.closeFile()
	}
	var f *os.File
	if s.path == Stdout {
		var own bool
		f, own = openStdout()
		s.stdout = !own
	} else {
		var err error
		if f, err = openFile(s.path); err != nil {
			return err
		}
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	s.file, s.info = f, info
	return nil
}

func (s *Sink) closeFile() error {
	f := s.file
	s.file, s.torn = nil, nil
	if f == nil || s.stdout {
		return nil
	}
	return f.Close()
}

// interruptWith makes a write that blocks return when ctx ends, where the file can do
// that.
func (s *Sink) interruptWith(ctx context.Context) (stop func()) {
	f, ok := s.file.(interface{ SetWriteDeadline(time.Time) error })
	if !ok || f.SetWriteDeadline(time.Time{}) != nil {
		return func() {}
	}
	done := make(chan struct{})
	cancel := context.AfterFunc(ctx, func() {
		defer close(done)
		_ = f.SetWriteDeadline(time.Unix(1, 0)) // It was supported a moment ago.
	})
	return func() {
		if !cancel() {
			<-done
		}
	}
}

// encode fills buf with the lines of the first events, about a chunk of them.
func (s *Sink) encode(events []schema.Event) {
	s.buf, s.ends = s.buf[:0], s.ends[:0]
	for i := range events {
		s.buf = schema.AppendJSON(s.buf, &events[i])
		s.buf = append(s.buf, '\n')
		s.ends = append(s.ends, len(s.buf))
		if len(s.buf) >= chunk {
			break
		}
	}
}

// whole returns how many lines of buf are complete in its first n bytes.
func (s *Sink) whole(n int) int {
	for i, end := range s.ends {
		if end > n {
			return i
		}
	}
	return len(s.ends)
}

// appendFile writes lines to a regular file and syncs it. What was written of a line that
// could not be finished is cut off again. When the sync fails, nobody knows what is on
// disk: everything is cut off, and n is 0.
func (s *Sink) appendFile(ctx context.Context, events []schema.Event) (n int, err error) {
	info, err := s.file.Stat()
	if err != nil {
		return 0, err
	}
	start := info.Size()
	size := start
	for n < len(events) && err == nil && ctx.Err() == nil {
		s.encode(events[n:])
		var written, lines int
		written, err = s.file.Write(s.buf)
		if lines = s.whole(written); lines > 0 {
			size += int64(s.ends[lines-1])
			n += lines
		}
		if err != nil {
			err = errors.Join(err, s.cut(size))
		}
	}
	if syncErr := s.file.Sync(); syncErr != nil {
		n, err = 0, errors.Join(err, fmt.Errorf("sync: %w", syncErr), s.cut(start), errReopen)
	}
	if errors.Is(err, errReopen) {
		err = errors.Join(err, s.closeFile())
	}
	if err == nil && n < len(events) {
		err = context.Cause(ctx)
	}
	return n, err
}

// errReopen is in an error after which the file is not as it should be. When it is opened
// again, a torn line is ended.
var errReopen = errors.New("the file is opened again")

// cut truncates the file to whole lines.
func (s *Sink) cut(size int64) error {
	if err := s.file.Truncate(size); err != nil {
		return errors.Join(fmt.Errorf("truncate: %w", err), errReopen)
	}
	return nil
}

// appendStream writes lines to something that cannot be cut. What is missing of a line
// that could not be finished is kept, and written by the next call.
func (s *Sink) appendStream(ctx context.Context, events []schema.Event) (n int, err error) {
	if len(s.torn) > 0 {
		written, err := s.file.Write(s.torn)
		if s.torn = s.torn[written:]; err != nil {
			return 0, err
		}
		s.written, s.tornID = s.tornID, ""
	}
	for n < len(events) && ctx.Err() == nil {
		end := len(events)
		if s.written != "" { // It has no outcome yet, and must not be written again.
			if i := slices.IndexFunc(events[n:], func(e schema.Event) bool { return eventKey(&e) == s.written }); i == 0 {
				s.written = ""
				n++
				continue
			} else if i > 0 {
				end = n + i
			}
		}
		s.encode(events[n:end])
		written, err := s.file.Write(s.buf)
		lines := s.whole(written)
		if err != nil {
			begun := 0
			if lines > 0 {
				begun = s.ends[lines-1]
			}
			if written > begun {
				s.torn = append([]byte(nil), s.buf[written:s.ends[lines]]...)
				s.tornID = eventKey(&events[n+lines])
			}
			return n + lines, err
		}
		n += lines
	}
	if n < len(events) {
		return n, context.Cause(ctx)
	}
	return n, nil
}

func eventKey(e *schema.Event) string { return e.Connection.Source + " " + e.ID() }

// explain says what failed and, where that helps, what to do.
func (s *Sink) explain(op string, err error) error {
	if errors.Is(err, ErrClosed) {
		return err
	}
	target, hint := s.path, ""
	if s.path == Stdout {
		target = "standard output"
	}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		hint = "; free space on the file's disk, or rotate and compress"
	case errors.Is(err, syscall.EPIPE):
		hint = "; its reader has gone: start it again"
	case errors.Is(err, fs.ErrPermission):
		hint = "; give this user the right to write it"
	case errors.Is(err, fs.ErrNotExist):
		hint = "; create its directory"
	case errors.Is(err, syscall.EROFS):
		hint = "; the file system is mounted read-only"
	}
	return &lineError{fmt.Errorf("jsonl: %s %s: %w%s", op, target, err, hint)}
}

// lineError puts joined errors on one line.
type lineError struct{ err error }

func (e *lineError) Error() string { return strings.ReplaceAll(e.err.Error(), "\n", "; ") }
func (e *lineError) Unwrap() error { return e.err }
