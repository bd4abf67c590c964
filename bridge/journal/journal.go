package journal

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Defaults and limits.
const (
	// DefaultMaxBytes is Options.MaxBytes when zero: 1 GiB.
	DefaultMaxBytes = 1 << 30
	// DefaultSegmentBytes is Options.SegmentBytes when zero: 64 MiB.
	DefaultSegmentBytes = 64 << 20
	// DefaultCursorInterval is Options.CursorInterval when zero.
	DefaultCursorInterval = 250 * time.Millisecond
	// DefaultMaxDeadLetterBytes is Options.MaxDeadLetterBytes when zero: 64 MiB.
	DefaultMaxDeadLetterBytes = 64 << 20
	// MaxBatchBytes is the largest batch that Append takes, as told by Batch.Bytes.
	MaxBatchBytes = 8 << 20

	minMaxBytes  = 64 << 10
	redoBytes    = 64 << 20 // log after which a new checkpoint is made
	verifyBytes  = 64 << 20 // newest part of the log that Open checks in any case
	reserveShare = 64       // 1/64 of MaxBytes is left for batches without records
)

var (
	// ErrFull is returned when the log holds MaxBytes that some reader has not
	// committed yet, or the dead letters MaxDeadLetterBytes.
	ErrFull = errors.New("journal is full")
	// ErrTooLarge is returned when a batch is larger than MaxBatchBytes or than a quarter
	// of MaxBytes.
	ErrTooLarge = errors.New("batch is too large")
	// ErrLocked is returned when another process, or another Journal of this one, uses
	// the directory.
	ErrLocked = errors.New("journal directory is in use")
	// ErrClosed is returned when the Journal or the Reader was closed.
	ErrClosed = errors.New("journal is closed")
	// ErrInUse is returned when there is a Reader of that name already.
	ErrInUse = errors.New("reader is in use")
	// ErrUncertain is returned, together with the cause, when a batch could neither be
	// made durable nor erased, because the disk refused both. The batch is not visible,
	// and the next Append (of anything) or Close that returns nil has erased it. If the
	// process ends before, the batch may be found, as a whole, by the next Open.
	ErrUncertain = errors.New("batch may reappear after a restart")
)

// Options are what the caller injects. The zero value is safe.
type Options struct {
	// MaxBytes bounds the log (not the checkpoint, nor the dead letters) on disk. 0 means
	// DefaultMaxBytes; the least is 64 KiB.
	MaxBytes int64
	// SegmentBytes is the size at which a new segment is begun. 0 means
	// DefaultSegmentBytes; at most a quarter of MaxBytes is used.
	SegmentBytes int64
	// MaxDeadLetterBytes bounds the dead letters on disk. 0 means
	// DefaultMaxDeadLetterBytes.
	MaxDeadLetterBytes int64
	// CursorInterval is how long a committed cursor may stay in memory only. 0 means
	// DefaultCursorInterval.
	CursorInterval time.Duration
	// Logger gets messages about quarantined bytes and of trouble in the background. Nil
	// means silence.
	Logger *slog.Logger
	// FS is the file system. Nil means the operating system's.
	FS FS

	// inline makes Append and Commit do the keeper's work, without a goroutine and
	// without delay: for tests that need a known order.
	inline bool
}

func (o Options) withDefaults() Options {
	if o.MaxBytes <= 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	o.MaxBytes = max(o.MaxBytes, minMaxBytes)
	if o.SegmentBytes <= 0 {
		o.SegmentBytes = DefaultSegmentBytes
	}
	o.SegmentBytes = min(o.SegmentBytes, o.MaxBytes/4)
	if o.MaxDeadLetterBytes <= 0 {
		o.MaxDeadLetterBytes = DefaultMaxDeadLetterBytes
	}
	if o.CursorInterval <= 0 {
		o.CursorInterval = DefaultCursorInterval
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.FS == nil {
		o.FS = osFS{}
	}
	return o
}

// Journal is an open journal directory. One goroutine at a time may call Append;
// everything else may be called by any.
//
// Lock order: wmu, then kmu, then mu; dmu is taken alone.
type Journal struct {
	dir   string
	opts  Options
	epoch uint64
	lock  io.Closer
	done  chan struct{} // closed by Close
	ended chan struct{} // closed when the keeper has ended
	soon  chan struct{} // asks the keeper to work within CursorInterval
	now   chan struct{} // asks the keeper to work at once

	batches, syncs atomic.Uint64

	wmu      sync.Mutex // guards what is appended to
	active   *logFile   // the newest segment
	torn     bool       // there are torn bytes behind active.size that could not be quarantined yet
	mustRoll bool       // the end of the active segment is not to be trusted: begin another
	closed   bool

	kmu      sync.Mutex // guards what the keeper writes
	cursors  *cursorFile
	stored   map[string]uint64 // the cursors as they are on disk
	redo     place             // of the checkpoint on disk
	saved    int64             // written at that place
	lastWarn string

	mu       sync.RWMutex // guards what is visible
	segments []segment    // oldest first; never empty; the last one is the active
	next     uint64       // offset of the next record
	bytes    int64        // sum of the segments' sizes
	written  int64        // bytes appended since Open, for the length of the redo
	redoMax  int64        // length of the redo at which a checkpoint is due
	records  uint64       // appended since Open
	full     bool
	values   values
	readers  map[string]*cursor
	wake     chan struct{} // closed by the next Append, if somebody waits

	dmu         sync.Mutex // guards the dead letters
	deadLetters *logFile   // nil until there is one
	deadTorn    bool       // as torn, or a failed append was not cut off yet
	deadMoved   bool       // the file was replaced, and the directory not synced yet
	deadCount   uint64     // dead letters kept
}

// segment is what is known of a segment file.
type segment struct {
	seq   uint64
	name  string // path
	salt  uint64
	first uint64 // offset of the first record
	next  uint64 // offset after the last record
	size  int64  // bytes that count
}

// cursor is a reader's position. Guarded by Journal.mu.
type cursor struct {
	next uint64 // everything below is done
	used bool   // there is a Reader
}

// Stats are counters and gauges of a Journal.
type Stats struct {
	Bytes       int64  // log bytes on disk, all segments
	MaxBytes    int64  // the bound of Bytes
	Segments    int    // segment files
	Records     uint64 // records appended since Open
	Batches     uint64 // batches appended since Open
	Syncs       uint64 // syncs that appends waited for since Open
	Oldest      uint64 // offset of the oldest record kept; Next if there is none
	Next        uint64 // offset that the next record will get
	Values      int    // keys with a value
	DeadLetters uint64 // dead letters kept
	Full        bool   // the last Append returned ErrFull
}

// Open locks dir, which it creates if absent (mode 0700), recovers what is there, and
// returns the journal, ready. It blocks for as long as the disk takes: it reads the
// checkpoint, the log since, and at least the newest 64 MiB of the log. The error is
// ErrLocked if the directory is in use, a
// *DamageError if something acknowledged is not there any more.
func Open(dir string, opts Options) (_ *Journal, err error) {
	opts = opts.withDefaults()
	if err := opts.FS.MakeDir(dir); err != nil {
		return nil, fmt.Errorf("create journal directory: %w", err)
	}
	j := &Journal{
		dir: dir, opts: opts,
		done: make(chan struct{}), ended: make(chan struct{}),
		soon: make(chan struct{}, 1), now: make(chan struct{}, 1),
		readers: map[string]*cursor{},
	}
	if j.lock, err = opts.FS.Lock(j.path(lockName)); err != nil {
		return nil, fmt.Errorf("lock journal directory %s: %w", dir, err)
	}
	if err := j.recover(); err != nil {
		return nil, errors.Join(err, j.release())
	}
	if opts.inline {
		close(j.ended)
	} else {
		go j.keep()
	}
	return j, nil
}

// Epoch returns the number that was made when the directory was created: 34 bits of Unix
// seconds and 16 random bits.
func (j *Journal) Epoch() uint64 { return j.epoch }

// Stats returns the current figures.
func (j *Journal) Stats() Stats {
	j.dmu.Lock()
	letters := j.deadCount
	j.dmu.Unlock()
	j.mu.RLock()
	defer j.mu.RUnlock()
	return Stats{
		Bytes: j.bytes, MaxBytes: j.opts.MaxBytes, Segments: len(j.segments),
		Records: j.records, Batches: j.batches.Load(), Syncs: j.syncs.Load(),
		Oldest: j.segments[0].first, Next: j.next,
		Values: len(j.values), DeadLetters: letters, Full: j.full,
	}
}

// Close ends all readers, persists the cursors and a checkpoint, and unlocks the
// directory. Its error says that the next Open has more to do, or that cursors are up to
// CursorInterval old; no record is lost. Further calls return ErrClosed.
func (j *Journal) Close() error {
	j.wmu.Lock()
	defer j.wmu.Unlock()
	if j.closed {
		return ErrClosed
	}
	j.closed = true
	close(j.done)
	<-j.ended
	var err error
	if j.mustRoll { // Else a batch that could not be erased would appear at the next Open.
		err = j.roll()
	}
	j.kmu.Lock()
	err = errors.Join(err, j.storeCursors())
	if j.redoLength() > 0 {
		err = errors.Join(err, j.storeCheckpoint())
	}
	j.kmu.Unlock()
	return errors.Join(err, j.release())
}

// release closes the files and the lock.
func (j *Journal) release() error {
	var err error
	if j.active != nil {
		err = errors.Join(err, j.active.f.Close())
	}
	if j.cursors != nil {
		err = errors.Join(err, j.cursors.f.Close())
	}
	j.dmu.Lock()
	if j.deadLetters != nil {
		err = errors.Join(err, j.deadLetters.f.Close())
	}
	j.dmu.Unlock()
	return errors.Join(err, j.lock.Close())
}
