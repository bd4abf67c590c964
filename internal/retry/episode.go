package retry

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Keys of the attributes that an episode adds to what it logs.
const (
	keyError = "err"
	keyFor   = "for"
)

// maxClasses bounds how many kinds of errors one episode logs as new.
const maxClasses = 16

// defaultReminder is how often an episode that goes on is logged again.
const defaultReminder = time.Minute

// Messages are what an [Episode] logs. They are complete: attributes only add detail.
type Messages struct {
	// Begin is logged with the first failure, Still with later ones, End with the
	// recovery.
	Begin, Still, End string
	// Level is that of Begin and Still; the zero value means [slog.LevelWarn]. End is
	// logged at [slog.LevelInfo].
	Level slog.Level
	// Reminder is how often Still is logged while nothing changes; 0 means once a minute,
	// a negative value never.
	Reminder time.Duration
}

// Episode logs a failure that repeats, without filling the log: the first failure, each
// kind of error ([Class]) that is new since then, a reminder now and then, and the
// recovery. What it does not log at that level is logged at [slog.LevelDebug].
//
// One Episode serves one after the other. Its methods are safe for concurrent use.
type Episode struct {
	log      *slog.Logger
	messages Messages

	mu       sync.Mutex // guards what follows
	began    time.Time  // zero while nothing fails
	reminded time.Time
	classes  []string // of the errors that this episode has logged
	failures uint64
}

// NewEpisode returns an episode that has not begun. A nil logger discards everything.
func NewEpisode(log *slog.Logger, m Messages) *Episode {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if m.Level == 0 {
		m.Level = slog.LevelWarn
	}
	if m.Reminder == 0 {
		m.Reminder = defaultReminder
	}
	return &Episode{log: log, messages: m}
}

// Failed notes a failure and logs it where it is due, with args as [slog.Logger.Log]
// takes them. It reports whether an episode begins with it.
func (e *Episode) Failed(ctx context.Context, err error, args ...any) (begins bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.failures++
	now := time.Now()
	begins = e.began.IsZero()
	level, message := slog.LevelDebug, e.messages.Still
	switch isNew := e.note(Class(err)); {
	case begins:
		e.began, e.reminded = now, now
		level, message = e.messages.Level, e.messages.Begin
	case isNew, e.messages.Reminder > 0 && now.Sub(e.reminded) >= e.messages.Reminder:
		e.reminded = now
		level = e.messages.Level
	}
	if !e.log.Enabled(ctx, level) {
		return begins
	}
	attrs := append([]any{keyError, err}, args...)
	if !begins {
		attrs = append(attrs, keyFor, now.Sub(e.began).Round(time.Second))
	}
	e.log.Log(ctx, level, message, attrs...) //nolint:sloglint // The messages are constants of the caller.
	return begins
}

// note reports whether the episode has not logged that class of error yet, and remembers
// it.
func (e *Episode) note(class string) (isNew bool) {
	for _, c := range e.classes {
		if c == class {
			return false
		}
	}
	if len(e.classes) == maxClasses {
		return false
	}
	e.classes = append(e.classes, class)
	return true
}

// Recovered notes a success, and logs it where it ends an episode. It reports whether it
// did.
func (e *Episode) Recovered(ctx context.Context, args ...any) (ends bool) {
	took, ends := e.Stop()
	if ends {
		attrs := append([]any{keyFor, took.Round(time.Millisecond)}, args...)
		e.log.InfoContext(ctx, e.messages.End, attrs...) //nolint:sloglint // As above.
	}
	return ends
}

// Stop ends an episode without logging it, as at the end of the program. It returns how
// long the episode took, and whether there was one.
func (e *Episode) Stop() (took time.Duration, stopped bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.began.IsZero() {
		return 0, false
	}
	took = time.Since(e.began)
	e.began, e.reminded, e.classes = time.Time{}, time.Time{}, e.classes[:0]
	return took, true
}

// Since returns when the episode began; the zero time while nothing fails.
func (e *Episode) Since() time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.began
}

// Failures returns how many failures there were, in all episodes.
func (e *Episode) Failures() uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.failures
}
