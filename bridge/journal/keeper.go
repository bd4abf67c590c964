package journal

import (
	"maps"
	"math"
	"time"
)

// keep is the keeper: it persists cursors, makes checkpoints and trims. It runs from
// Open to Close and does nothing while nothing happens.
func (j *Journal) keep() {
	defer close(j.ended)
	var retry <-chan time.Time
	for {
		select {
		case <-j.done:
			return
		case <-j.now:
		case <-retry:
		case <-j.soon:
			select {
			case <-j.done:
				return
			case <-j.now:
			case <-time.After(j.opts.CursorInterval):
			}
		}
		retry = nil
		if !j.maintain() {
			retry = time.After(max(time.Second, j.opts.CursorInterval))
		}
	}
}

// maintain does what is due and reports whether it could. Nothing is lost if it cannot:
// cursors get old, the redo long, and the log full.
func (j *Journal) maintain() bool {
	j.kmu.Lock()
	defer j.kmu.Unlock()
	err := j.storeCursors()
	if err == nil && j.checkpointDue() {
		err = j.storeCheckpoint()
	}
	if trimErr := j.trim(); err == nil {
		err = trimErr
	}
	warn := ""
	if err != nil {
		warn = err.Error()
	}
	if warn != j.lastWarn && warn != "" {
		j.opts.Logger.Warn("journal maintenance", "dir", j.dir, "err", err)
	}
	j.lastWarn = warn
	return err == nil
}

// storeCursors persists the cursors if they changed. kmu is held.
func (j *Journal) storeCursors() error {
	cursors := j.cursorValues()
	if maps.Equal(cursors, j.stored) {
		return nil
	}
	if err := j.cursors.store(cursors); err != nil {
		return err
	}
	j.stored = cursors
	return nil
}

func (j *Journal) cursorValues() map[string]uint64 {
	j.mu.RLock()
	defer j.mu.RUnlock()
	cursors := make(map[string]uint64, len(j.readers))
	for name, c := range j.readers {
		cursors[name] = c.next
	}
	return cursors
}

// redoLength returns the bytes that were appended since the checkpoint. kmu is held.
func (j *Journal) redoLength() int64 {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return j.written - j.saved
}

// checkpointDue reports whether the redo is long, or keeps a segment from being trimmed.
// kmu is held.
func (j *Journal) checkpointDue() bool {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return j.written-j.saved >= j.redoMax || j.segments[len(j.segments)-1].seq != j.redo.seq
}

// storeCheckpoint persists the values as they are now. kmu is held.
func (j *Journal) storeCheckpoint() error {
	j.mu.RLock()
	last := j.segments[len(j.segments)-1]
	c := checkpoint{
		epoch:  j.epoch,
		redo:   place{seq: last.seq, pos: last.size, next: last.next},
		values: j.values,
	}
	p, written := c.encode(), j.written
	j.mu.RUnlock()
	if err := storeCheckpoint(j.opts.FS, j.dir, p); err != nil {
		return err
	}
	j.redo = c.redo
	j.mu.Lock()
	j.saved = written
	j.redoMax = max(redoBytes, 2*int64(len(p)))
	j.mu.Unlock()
	return nil
}

// trim deletes the oldest segments: those that every persisted cursor has passed, and the
// checkpoint too. One at a time, and durably, so that there is never a hole. kmu is held.
func (j *Journal) trim() error {
	done := uint64(math.MaxUint64)
	for _, next := range j.stored {
		done = min(done, next)
	}
	for name := range j.cursorValues() {
		done = min(done, j.stored[name]) // 0 if it is not on disk.
	}
	for {
		j.mu.RLock()
		oldest := j.segments[0]
		j.mu.RUnlock()
		if oldest.seq >= j.redo.seq || oldest.next > done {
			return nil
		}
		if err := j.opts.FS.Remove(oldest.name); err != nil && !isNotExist(err) {
			return err
		}
		if err := j.opts.FS.SyncDir(j.dir); err != nil {
			return err
		}
		j.mu.Lock()
		j.segments = append([]segment(nil), j.segments[1:]...)
		j.bytes -= oldest.size
		j.mu.Unlock()
	}
}
