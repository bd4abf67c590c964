package journal

import (
	"errors"
	"fmt"
	"syscall"
)

// Append makes the batch durable: all its records, in order, and all its changes of
// values, or nothing. It returns nil after the sync, and blocks until then. After an
// error nothing of the batch is readable or in Value, also after a restart (but see
// [ErrUncertain]), and the same or another batch may be tried: [ErrFull] until readers
// commit, [ErrTooLarge] always, any other error for as long as the disk has it. An empty
// batch is nil. One goroutine at a time may call it.
func (j *Journal) Append(b *Batch) error {
	if j.opts.inline {
		defer j.maintain()
	}
	j.wmu.Lock()
	defer j.wmu.Unlock()
	if j.closed {
		return ErrClosed
	}
	size := int64(b.Bytes())
	if size == 0 {
		return nil
	}
	if size > MaxBatchBytes || size > j.opts.MaxBytes/4 {
		return fmt.Errorf("%w: %d bytes", ErrTooLarge, size)
	}
	if !j.room(size, b.records == 0) {
		urge(j.now)
		return ErrFull
	}
	if err := j.prepare(size); err != nil {
		return err
	}
	j.syncs.Add(1)
	written, err := j.active.write(b.seal(j.active.head.salt, j.active.next), b.records)
	if err != nil {
		return j.undo(written, err)
	}
	j.batches.Add(1)
	j.publish(b, size)
	return nil
}

// room reports whether a batch may be added within MaxBytes.
func (j *Journal) room(size int64, valuesOnly bool) bool {
	limit := j.opts.MaxBytes
	if !valuesOnly {
		limit -= limit / reserveShare
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.full = j.bytes+size+segmentHeader > limit
	return !j.full
}

// prepare makes the active segment one that can take a frame of that size.
func (j *Journal) prepare(size int64) error {
	if j.torn {
		if err := j.quarantine(); err != nil {
			return err
		}
	}
	used := j.active.size
	if j.mustRoll || used > segmentHeader && used+size > j.opts.SegmentBytes {
		return j.roll()
	}
	return nil
}

// roll begins a new segment. Its header says how much of the one before counts. If it
// fails, the old one must not be appended to any more, since the new header may be on
// disk already.
func (j *Journal) roll() error {
	old := j.active
	head := header{epoch: j.epoch, seq: old.head.seq + 1, first: old.next, prevSize: old.size}
	fresh, err := createLog(j.opts.FS, j.path(segmentName(head.seq)), head)
	if err != nil {
		j.mustRoll = true
		return fmt.Errorf("begin segment %d: %w", head.seq, err)
	}
	j.active, j.mustRoll = fresh, false
	j.mu.Lock()
	j.segments = append(j.segments, segmentOf(fresh))
	j.bytes += fresh.size
	j.written += fresh.size
	j.mu.Unlock()
	urge(j.now)
	if err := old.f.Close(); err != nil {
		// All that counts was synced before.
		j.opts.Logger.Warn("close segment", "file", old.name, "err", err)
	}
	return nil
}

// undo makes sure that a batch that could not be written, or not be synced, never
// appears.
func (j *Journal) undo(written bool, cause error) error {
	cause = fmt.Errorf("append: %w", cause)
	cutErr := j.active.cut()
	// After a failed sync nobody knows which pages are on disk, and the next sync may not
	// say so: do not append to this file any more. On a full disk that holds only what is
	// done, a new segment lets the old one be trimmed.
	j.mustRoll = written || cutErr != nil || errors.Is(cause, syscall.ENOSPC) && j.idle()
	if cutErr == nil {
		return cause
	}
	if rollErr := j.roll(); rollErr != nil {
		return fmt.Errorf("%w: %w", ErrUncertain, errors.Join(cause, cutErr, rollErr))
	}
	return cause
}

// idle reports whether every reader has committed everything.
func (j *Journal) idle() bool {
	j.mu.RLock()
	defer j.mu.RUnlock()
	for _, c := range j.readers {
		if c.next < j.next {
			return false
		}
	}
	return j.segments[len(j.segments)-1].size > segmentHeader
}

// publish makes a durable batch visible.
func (j *Journal) publish(b *Batch, size int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	_ = j.values.apply(b.buf[frameHeader:]) // A Batch is well-formed.
	last := &j.segments[len(j.segments)-1]
	last.next, last.size = j.active.next, j.active.size
	j.next = j.active.next
	j.records += uint64(b.records)
	j.bytes += size
	j.written += size
	if j.written-j.saved >= j.redoMax {
		urge(j.now)
	}
	if j.wake != nil && b.records > 0 {
		close(j.wake)
		j.wake = nil
	}
}

// urge asks for something without waiting.
func urge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func segmentOf(l *logFile) segment {
	return segment{
		seq: l.head.seq, name: l.name, salt: l.head.salt,
		first: l.head.first, next: l.next, size: l.size,
	}
}
