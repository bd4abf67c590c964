package journal

import (
	"context"
	"fmt"
	"maps"
	"slices"
)

// Record is one record at its offset.
type Record struct {
	Offset uint64
	Data   []byte
}

// Reader is a named, durable cursor and two places to read from: one that goes ahead
// (Next), and one that goes back to what the cursor has not passed (Reread). Next and
// Reread must not be called by two goroutines at a time; the others may be called
// meanwhile.
type Reader struct {
	j    *Journal
	name string
	cur  *cursor
	done chan struct{}
	// given is the offset after the last record that Next returned. Guarded by j.mu.
	given uint64

	ahead scan // belongs to Next
	back  scan // belongs to Reread
}

// Reader opens the named reader where its cursor is. A new name starts at the end of
// the log, and from then on everything it has not committed is kept; that is durable when
// Reader returns. A name is any string of 1 to MaxReaderName bytes, and has one Reader at
// a time (ErrInUse).
func (j *Journal) Reader(name string) (*Reader, error) {
	if name == "" || len(name) > MaxReaderName {
		return nil, fmt.Errorf("reader name %q: must have 1 to %d bytes", name, MaxReaderName)
	}
	j.kmu.Lock()
	defer j.kmu.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.isClosed() {
		return nil, ErrClosed
	}
	cur := j.readers[name]
	switch {
	case cur == nil:
		if len(j.readers) >= MaxReaders {
			return nil, fmt.Errorf("reader %q: there are %d already, the most possible", name, MaxReaders)
		}
		cur = &cursor{next: j.next}
		j.readers[name] = cur
		j.mu.Unlock()
		err := j.storeCursors()
		if err == nil { // In both slots, so that no damage to one can forget the reader.
			err = j.cursors.store(j.stored)
		}
		j.mu.Lock()
		if err != nil {
			delete(j.readers, name)
			return nil, fmt.Errorf("create reader %q: %w", name, err)
		}
	case cur.used:
		return nil, fmt.Errorf("%w: %q", ErrInUse, name)
	}
	cur.used = true
	done := make(chan struct{})
	return &Reader{
		j: j, name: name, cur: cur, done: done, given: cur.next,
		ahead: scan{j: j, done: done, next: cur.next}, back: scan{j: j, done: done, next: cur.next},
	}, nil
}

// Readers returns the names of all readers, whether there is a Reader or not, sorted.
func (j *Journal) Readers() []string {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return slices.Sorted(maps.Keys(j.readers))
}

// Drop forgets a reader, durably, and returns the number of records that it had not
// committed. The name must have no open Reader (ErrInUse); an unknown name is nil.
func (j *Journal) Drop(name string) (pending uint64, err error) {
	j.kmu.Lock()
	defer j.kmu.Unlock()
	j.mu.Lock()
	if j.isClosed() {
		j.mu.Unlock()
		return 0, ErrClosed
	}
	cur := j.readers[name]
	if cur == nil || cur.used {
		j.mu.Unlock()
		if cur != nil {
			return 0, fmt.Errorf("drop reader: %w: %q", ErrInUse, name)
		}
		return 0, nil
	}
	delete(j.readers, name)
	pending = j.next - cur.next
	j.mu.Unlock()
	err = j.storeCursors()
	if err == nil {
		err = j.cursors.store(j.stored)
	}
	if err != nil {
		j.mu.Lock()
		j.readers[name] = cur
		j.mu.Unlock()
		return 0, fmt.Errorf("drop reader %q: %w", name, err)
	}
	urge(j.now)
	return pending, nil
}

// isClosed reports whether Close was called.
func (j *Journal) isClosed() bool {
	select {
	case <-j.done:
		return true
	default:
		return false
	}
}

// Next waits until there is at least one record and returns the next ones, in order, in
// dst's memory: at least one, and no more once they have maxBytes (0 means 1 MiB). They
// are valid until the following Next or Close. The error is ctx's, ErrClosed,
// a *DamageError, or one of the disk, after which Next may be called again; no record is
// skipped.
func (r *Reader) Next(ctx context.Context, dst []Record, maxBytes int) ([]Record, error) {
	dst, err := r.ahead.read(ctx, dst, maxBytes)
	if err != nil {
		return nil, err
	}
	r.j.mu.Lock()
	r.given = r.ahead.next
	r.j.mu.Unlock()
	return dst, nil
}

// Ready reports whether Next would return a record, or an error, without waiting.
func (r *Reader) Ready() bool {
	r.j.mu.RLock()
	defer r.j.mu.RUnlock()
	return r.given < r.j.next || r.j.isClosed()
}

// Reread returns records that Next has returned before, from the offset from on, as Next
// does. They are valid until the following Reread or Close, whatever Next does meanwhile.
// It is quick where from is a little behind what the previous Reread returned; else it
// reads a segment from its beginning. What is below the cursor may be gone: from must not
// be there, nor beyond what Next has returned.
func (r *Reader) Reread(ctx context.Context, dst []Record, from uint64, maxBytes int) ([]Record, error) {
	r.j.mu.RLock()
	cursor, given := r.cur.next, r.given
	r.j.mu.RUnlock()
	if from < cursor || from >= given {
		return nil, fmt.Errorf("reader %q: reread of %d, but the cursor is at %d and only what is below %d was read", r.name, from, cursor, given)
	}
	r.back.seek(from)
	dst, err := r.back.read(ctx, dst, maxBytes)
	for i := range dst {
		if dst[i].Offset >= given { // It was appended since.
			r.back.seek(given)
			return dst[:i], nil
		}
	}
	return dst, err
}

// Commit says that everything below next is done and will not be wanted again. It does
// not block on the disk: the cursor is persisted within Options.CursorInterval and by
// Journal.Close. A next below the cursor is ignored; one beyond what Next has returned is
// an error, and after Journal.Close it is ErrClosed.
func (r *Reader) Commit(next uint64) error {
	j := r.j
	j.mu.Lock()
	if j.isClosed() {
		j.mu.Unlock()
		return ErrClosed
	}
	if next > r.given {
		given := r.given
		j.mu.Unlock()
		return fmt.Errorf("reader %q: commit of %d, but only what is below %d was read", r.name, next, given)
	}
	moved := next > r.cur.next
	if moved {
		r.cur.next = next
	}
	j.mu.Unlock()
	if moved {
		urge(j.soon)
		if j.opts.inline {
			j.maintain()
		}
	}
	return nil
}

// Pending returns how many records the reader has not committed, and about how many bytes
// of log they take.
func (r *Reader) Pending() (records uint64, bytes int64) {
	j := r.j
	j.mu.RLock()
	defer j.mu.RUnlock()
	for _, s := range slices.Backward(j.segments) {
		if s.next <= r.cur.next {
			break
		}
		if s.first >= r.cur.next {
			bytes += s.size
			continue
		}
		// Within the segment, its share.
		bytes += int64(float64(s.size) * float64(s.next-r.cur.next) / float64(s.next-s.first))
	}
	return j.next - r.cur.next, bytes
}

// Close gives the name free; the cursor stays. A Next that waits returns ErrClosed. Close
// must not be called while Next does anything but wait. Further calls are nil.
func (r *Reader) Close() error {
	r.j.mu.Lock()
	defer r.j.mu.Unlock()
	select {
	case <-r.done:
		return nil
	default:
	}
	close(r.done)
	r.cur.used = false
	r.ahead.release()
	r.back.release()
	return nil
}
