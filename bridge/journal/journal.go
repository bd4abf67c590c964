package journal

import (
	"context"
	"errors"
	"log/slog"
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
	// MaxBatchBytes is the largest batch that Append takes, as told by Batch.Bytes.
	MaxBatchBytes = 8 << 20
)

var (
	// ErrFull is returned when the journal holds MaxBytes that some reader has not
	// committed yet.
	ErrFull = errors.New("journal is full")
	// ErrTooLarge is returned when a batch is larger than MaxBatchBytes.
	ErrTooLarge = errors.New("batch is too large")
	// ErrLocked is returned when another process, or another Journal of this one, uses the directory.
	ErrLocked = errors.New("journal directory is in use")
	// ErrClosed is returned when the Journal or the Reader was closed.
	ErrClosed = errors.New("journal is closed")
	// ErrInUse is returned when there is a Reader of that name already.
	ErrInUse = errors.New("reader is in use")
	// ErrUncertain is returned, together with the cause, when a batch could neither be
	// made durable nor erased, because the disk refused both. The
	// batch is not visible, and the next Append erases it before anything else. If the
	// process ends before, it may be found, as a whole, by the next Open.
	ErrUncertain = errors.New("batch may reappear after a restart")
)

// Options are what the caller injects. The zero value is safe.
type Options struct {
	// MaxBytes bounds the log (not the states) on disk. 0 means DefaultMaxBytes.
	MaxBytes int64
	// SegmentBytes is the size at which a new segment is begun. 0 means
	// DefaultSegmentBytes; it is lowered to a quarter of MaxBytes.
	SegmentBytes int64
	// CursorInterval is how long a committed cursor may stay in memory only. 0 means
	// DefaultCursorInterval.
	CursorInterval time.Duration
	// Logger hears of quarantined bytes and of trouble in the background. Nil means silence.
	Logger *slog.Logger
	// FS is the file system. Nil means the operating system's.
	FS FS
}

// Journal is an open journal directory.
type Journal struct{}

// Stats are counters and gauges of a Journal.
type Stats struct {
	Bytes       int64  // log bytes on disk, all segments
	MaxBytes    int64  // the bound of Bytes
	Segments    int    // segment files
	Records     uint64 // records appended since Open
	Batches     uint64 // batches appended since Open
	Syncs       uint64 // syncs of segments since Open
	Oldest      uint64 // offset of the oldest record kept; Next if there is none
	Next        uint64 // offset that the next record will get
	States      int    // keys with a state
	DeadLetters uint64 // dead letters kept
	Full        bool   // the last Append returned ErrFull
}

var errStub = errors.New("not built yet")

// Open locks the directory, recovers what is there and returns it, ready.
func Open(dir string, opts Options) (*Journal, error) { return nil, errStub }

// Epoch returns the number that was made when the directory was created.
func (j *Journal) Epoch() uint64 { return 0 }

// Append makes a batch durable.
func (j *Journal) Append(b *Batch) error { return errStub }

// State returns a copy of the state of key.
func (j *Journal) State(key []byte) (value []byte, ok bool) { return nil, false }

// States calls f for each state.
func (j *Journal) States(f func(key, value []byte) bool) {}

// Reader opens the named reader.
func (j *Journal) Reader(name string) (*Reader, error) { return nil, errStub }

// Readers returns the names of all readers.
func (j *Journal) Readers() []string { return nil }

// Drop forgets a reader.
func (j *Journal) Drop(name string) (pending uint64, err error) { return 0, errStub }

// Stats returns the current figures.
func (j *Journal) Stats() Stats { return Stats{} }

// Close persists the cursors and a checkpoint and unlocks the directory.
func (j *Journal) Close() error { return errStub }

// DeadLetter keeps a record that the reader's sink refuses for good.
func (j *Journal) DeadLetter(reader string, rec Record, reason string) error { return errStub }

// DeadLetters calls f for each dead letter.
func (j *Journal) DeadLetters(f func(DeadLetter) bool) error { return errStub }

// Batch is what one Append makes durable.
type Batch struct{}

// Reset empties the batch for reuse.
func (b *Batch) Reset() {}

// Record adds a copy of p.
func (b *Batch) Record(p []byte) {}

// Put adds a state change.
func (b *Batch) Put(key, value []byte) {}

// Delete adds the removal of a state.
func (b *Batch) Delete(key []byte) {}

// Len returns the number of records.
func (b *Batch) Len() int { return 0 }

// Bytes returns the size of the batch in the log.
func (b *Batch) Bytes() int { return 0 }

// Record is one record at its offset.
type Record struct {
	Offset uint64
	Data   []byte
}

// Reader is a named, durable cursor.
type Reader struct{}

// Next waits for records.
func (r *Reader) Next(ctx context.Context, dst []Record, maxBytes int) ([]Record, error) {
	return nil, errStub
}

// Commit says that everything below next is done.
func (r *Reader) Commit(next uint64) error { return errStub }

// Pending returns what is not committed yet.
func (r *Reader) Pending() (records uint64, bytes int64) { return 0, 0 }

// Close releases the name.
func (r *Reader) Close() error { return nil }

// DeadLetter is a record that a sink refused for good.
type DeadLetter struct {
	ID     uint64
	Reader string
	Offset uint64
	Time   time.Time
	Reason string
	Data   []byte
}

// DamageError says where a file is damaged and what can be done.
type DamageError struct {
	File   string
	Offset int64
	Reason string
	Cure   string
}

func (e *DamageError) Error() string { return e.Reason }
