package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
)

// Record is one record at its offset.
type Record struct {
	Offset uint64
	Data   []byte
}

// Reader is a named, durable cursor and a place to read from. Next must not be called by
// two goroutines at a time; Commit and Pending may be called meanwhile.
type Reader struct {
	j    *Journal
	name string
	cur  *cursor
	done chan struct{}
	// given is the offset after the last record that Next returned. Guarded by j.mu.
	given uint64

	// What follows belongs to Next.
	next   uint64      // offset of the next record to return
	seg    segment     // as it was when last looked at; size is how far may be read
	file   File        // nil if seg is to be opened
	frames frameReader // in file
	frame  uint64      // offset of the next frame in file
	body   []byte      // rest of the current frame
	at     uint64      // offset of the first record in body
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
	return &Reader{j: j, name: name, cur: cur, done: make(chan struct{}), given: cur.next, next: cur.next}, nil
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

// Next waits until there is at least one record and returns the next ones, in order, in dst's memory: at
// least one, and no more once they have maxBytes (0 means 1 MiB). They are valid until the
// following Next or Close. The error is ctx's, ErrClosed, a *DamageError, or one of the
// disk, after which Next may be called again; no record is skipped.
func (r *Reader) Next(ctx context.Context, dst []Record, maxBytes int) ([]Record, error) {
	if maxBytes <= 0 {
		maxBytes = maxRead
	}
	dst = dst[:0]
	size := 0
	for size < maxBytes {
		if len(r.body) > 0 {
			dst, size = r.take(dst, size, maxBytes)
			continue
		}
		if len(dst) > 0 && (r.file == nil || !r.frames.buffered() || r.frames.pos >= r.seg.size) {
			break // To read on would overwrite what was taken.
		}
		if err := r.advance(ctx); err != nil {
			if len(dst) > 0 {
				break // It comes again with the next call.
			}
			return nil, err
		}
	}
	r.j.mu.Lock()
	r.given = r.next
	r.j.mu.Unlock()
	return dst, nil
}

// take appends the records of the current frame until there are maxBytes.
func (r *Reader) take(dst []Record, size, maxBytes int) ([]Record, int) {
	for len(r.body) > 0 && size < maxBytes {
		op, _, value, rest, err := nextEntry(r.body)
		if err != nil { // checkFrame has seen it whole.
			break
		}
		r.body = rest
		if op != opRecord {
			continue
		}
		if r.at >= r.next {
			dst = append(dst, Record{Offset: r.at, Data: value})
			size += max(len(value), 1)
			r.next = r.at + 1
		}
		r.at++
	}
	return dst, size
}

// advance makes the next frame the current one, and waits for it if need be.
func (r *Reader) advance(ctx context.Context) error {
	if r.file == nil || r.frames.pos >= r.seg.size {
		if err := r.wait(ctx); err != nil {
			return err
		}
	}
	f, err := r.frames.next(r.seg.size)
	if err == nil {
		err = checkFrame(&f, r.frame)
	}
	if err != nil {
		name, at := r.seg.name, r.frames.pos
		r.release()
		if errors.Is(err, io.EOF) {
			err = errShort
		}
		return placed(name, at, err)
	}
	r.body, r.at = f.body, f.first
	r.frame += uint64(f.count)
	if r.frame <= r.next {
		r.body = nil // Nothing new in it.
	}
	return nil
}

// wait blocks until there is something behind the current place, and goes to the next
// segment if it is there.
func (r *Reader) wait(ctx context.Context) error {
	for {
		seg, wake, err := r.look()
		if err != nil {
			return err
		}
		if wake == nil {
			return r.open(seg)
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return ctx.Err()
		case <-r.done:
			return ErrClosed
		case <-r.j.done:
			return ErrClosed
		}
	}
}

// look returns the segment that holds the next record, or what to wait on.
func (r *Reader) look() (segment, <-chan struct{}, error) {
	j := r.j
	j.mu.Lock()
	defer j.mu.Unlock()
	select {
	case <-r.done:
		return segment{}, nil, ErrClosed
	default:
	}
	if j.isClosed() {
		return segment{}, nil, ErrClosed
	}
	if r.next >= j.next {
		if j.wake == nil {
			j.wake = make(chan struct{})
		}
		return segment{}, j.wake, nil
	}
	i, _ := slices.BinarySearchFunc(j.segments, r.next, func(s segment, next uint64) int {
		if s.next <= next {
			return -1
		}
		return 1
	})
	return j.segments[i], nil, nil
}

// open makes seg the current segment.
func (r *Reader) open(seg segment) error {
	if r.file != nil && seg.seq == r.seg.seq {
		r.seg = seg
		return nil
	}
	r.release()
	f, err := r.j.opts.FS.OpenFile(seg.name, os.O_RDONLY)
	if err != nil {
		return fmt.Errorf("open segment: %w", err)
	}
	r.seg, r.file, r.frame = seg, f, seg.first
	r.frames.reset(f, seg.salt, segmentHeader)
	return nil
}

// release closes the current segment.
func (r *Reader) release() {
	if r.file == nil {
		return
	}
	if err := r.file.Close(); err != nil {
		r.j.opts.Logger.Warn("close segment", "file", r.seg.name, "err", err)
	}
	r.file, r.body = nil, nil
}

// Commit says that everything below next is done and will not be wanted again. It does
// not block on the disk: the cursor is persisted within Options.CursorInterval and by Journal.Close.
// A next below the cursor is ignored; one beyond what Next has returned is an error, and
// after Journal.Close it is ErrClosed.
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

// Pending returns how many records the reader has not committed, and about how many bytes of log
// they take.
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

// Close gives the name free; the cursor stays. A Next that waits returns ErrClosed. Close must not be called
// while Next does anything but wait. Further calls are nil.
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
	r.release()
	return nil
}
