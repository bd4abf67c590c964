package journal

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

func (j *Journal) path(name string) string { return filepath.Join(j.dir, name) }

// recover brings the journal to where it was when the last process ended.
func (j *Journal) recover() error {
	c, err := loadCheckpoint(j.opts.FS, j.dir)
	if isNotExist(err) {
		if err := j.create(); err != nil {
			return fmt.Errorf("create journal in %s: %w", j.dir, err)
		}
		c, err = loadCheckpoint(j.opts.FS, j.dir)
	}
	if err != nil {
		return err
	}
	j.epoch, j.values, j.redo = c.epoch, c.values, c.redo
	j.redoMax = max(redoBytes, 2*int64(c.values.bytes()))
	if err := j.openSegments(); err != nil {
		return err
	}
	if err := j.verify(); err != nil {
		return err
	}
	if err := j.openCursors(); err != nil {
		return err
	}
	return j.openDeadLetters()
}

// create makes the files of a new journal. The checkpoint comes last: without one there
// is no journal yet, only what an interrupted create left.
func (j *Journal) create() error {
	names, err := j.opts.FS.ReadDir(j.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		seq, ok := segmentSeq(name)
		if !ok {
			continue
		}
		p, err := readFile(j.opts.FS, j.path(name))
		if err != nil {
			return err
		}
		if seq != 1 || len(p) > segmentHeader {
			return &DamageError{File: j.path(checkpointName), Reason: "it is missing, and there are segments", Cure: cureRestore}
		}
	}
	var random [2]byte
	if _, err := rand.Read(random[:]); err != nil {
		return err
	}
	c := checkpoint{redo: place{seq: 1, pos: segmentHeader, next: 1}}
	c.epoch = (uint64(time.Now().Unix())&(1<<34-1))<<16 | uint64(binary.LittleEndian.Uint16(random[:]))
	if err := createCursors(j.opts.FS, j.dir, c.epoch); err != nil {
		return err
	}
	l, err := createLog(j.opts.FS, j.path(segmentName(1)), header{epoch: c.epoch, seq: 1, first: 1})
	if err != nil {
		return err
	}
	if err := l.f.Close(); err != nil {
		return err
	}
	return storeCheckpoint(j.opts.FS, j.dir, c.encode())
}

// openSegments lists the segments, reads their headers and opens the newest for
// appending.
func (j *Journal) openSegments() error {
	names, err := j.opts.FS.ReadDir(j.dir)
	if err != nil {
		return err
	}
	var seqs []uint64
	for _, name := range names {
		if seq, ok := segmentSeq(name); ok {
			seqs = append(seqs, seq)
		}
	}
	slices.Sort(seqs)
	for i, seq := range seqs {
		if i > 0 && seqs[i-1] != seq-1 {
			return j.missing(seq - 1)
		}
	}
	if len(seqs) == 0 || seqs[0] > j.redo.seq {
		return j.missing(j.redo.seq)
	}
	for i, seq := range seqs {
		last := i == len(seqs)-1
		l, err := j.openSegment(seq, last)
		if err != nil {
			return err
		}
		if l == nil {
			seqs = seqs[:i]
			break
		}
		if i > 0 {
			prev := &j.segments[i-1]
			prev.size, prev.next = l.head.prevSize, l.head.first
			if prev.next < prev.first || prev.size < segmentHeader {
				return errors.Join(placed(l.name, 0, errors.New("the header contradicts the segment before")), l.f.Close())
			}
		}
		j.segments = append(j.segments, segmentOf(l))
		prev := j.active
		j.active = l
		if prev != nil {
			if err := sealed(prev, l.head.prevSize); err != nil {
				return err
			}
		}
	}
	if len(seqs) == 0 || seqs[len(seqs)-1] < j.redo.seq {
		return j.missing(j.redo.seq)
	}
	return nil
}

// sealed checks that a segment has at least the size that the next one tells of, and
// closes it.
func sealed(l *logFile, size int64) error {
	end, err := l.f.Size()
	if err == nil && end < size {
		err = &DamageError{File: l.name, Offset: end, Reason: fmt.Sprintf("it had %d bytes", size), Cure: cureRestore}
	}
	return errors.Join(err, l.f.Close())
}

func (j *Journal) missing(seq uint64) error {
	return &DamageError{File: j.path(segmentName(seq)), Reason: "the segment is missing", Cure: cureRestore}
}

// openSegment opens one segment. It returns nil for a newest one whose creation was
// interrupted, which it moves out of the way; only the newest may be like that, and it
// holds no frame.
func (j *Journal) openSegment(seq uint64, last bool) (*logFile, error) {
	name := j.path(segmentName(seq))
	l, err := openLog(j.opts.FS, name, os.O_RDWR)
	if err == nil {
		if l.head.epoch != j.epoch || l.head.seq != seq {
			return nil, errors.Join(placed(name, 0, errors.New("the segment is of another journal or place")), l.f.Close())
		}
		return l, nil
	}
	var damage *DamageError
	if !last || seq <= j.redo.seq || !errors.As(err, &damage) {
		return nil, err
	}
	p, readErr := readFile(j.opts.FS, name)
	if readErr != nil {
		return nil, readErr
	}
	if len(p) > segmentHeader {
		return nil, err
	}
	j.opts.Logger.Warn("segment was not finished; moved away", "file", name, "bytes", len(p))
	if err := j.opts.FS.Rename(name, name+tornSuffix); err != nil {
		return nil, err
	}
	return nil, j.opts.FS.SyncDir(j.dir)
}

// verify checks the log from the checkpoint on, and at least its newest verifyBytes, and
// brings the values up to date.
func (j *Journal) verify() error {
	from := len(j.segments) - 1
	end, err := j.active.f.Size()
	if err != nil {
		return err
	}
	total := end
	for from > 0 && (j.segments[from].seq > j.redo.seq || total+j.segments[from-1].size <= verifyBytes) {
		from--
		total += j.segments[from].size
	}
	for i := from; i < len(j.segments)-1; i++ {
		if err := j.verifySealed(&j.segments[i]); err != nil {
			return err
		}
	}
	if err := j.verifyActive(end); err != nil {
		return err
	}
	j.segments[len(j.segments)-1] = segmentOf(j.active)
	j.next = j.active.next
	for _, s := range j.segments {
		j.bytes += s.size
		switch {
		case s.seq > j.redo.seq:
			j.written += s.size
		case s.seq == j.redo.seq:
			j.written += s.size - j.redo.pos
		}
	}
	return nil
}

// verifySealed checks a segment that has another one behind it, which knows its size.
func (j *Journal) verifySealed(s *segment) error {
	f, err := j.opts.FS.OpenFile(s.name, os.O_RDONLY)
	if err != nil {
		return err
	}
	end, _, err := j.scan(f, s.seq, s.salt, s.first, s.size)
	if err == nil && (end.pos != s.size || end.next != s.next || s.seq == j.redo.seq && s.size < j.redo.pos) {
		err = placed(s.name, end.pos, fmt.Errorf("it ends at offset %d instead of %d", end.next, s.next))
	}
	return errors.Join(err, f.Close())
}

// verifyActive checks the newest segment. What is behind its last whole frame is torn.
func (j *Journal) verifyActive(end int64) error {
	l := j.active
	at, lastFrame, err := j.scan(l.f, l.head.seq, l.head.salt, l.head.first, end)
	var damage *DamageError
	if err != nil && (!errors.As(err, &damage) || !damage.torn) {
		return err
	}
	if err != nil {
		rest := make([]byte, end-at.pos)
		if _, readErr := l.f.ReadAt(rest, at.pos); readErr != nil && !errors.Is(readErr, io.EOF) {
			return fmt.Errorf("read %s: %w", l.name, readErr)
		}
		if frameBehind(rest[1:], l.head.salt) {
			return err
		}
	}
	l.size, l.next = at.pos, at.next
	if l.head.seq == j.redo.seq && l.size < j.redo.pos {
		return &DamageError{File: l.name, Offset: l.size, Reason: "acknowledged records are missing", Cure: cureRestore}
	}
	j.torn = l.size < end
	if j.torn {
		if err := j.quarantine(); err != nil {
			j.opts.Logger.Warn("torn bytes stay in place for now", "file", l.name, "err", err)
		}
	}
	if l.head.seq == j.redo.seq && l.size == j.redo.pos {
		return nil // The checkpoint says that all of it is durable.
	}
	if err := l.rewrite(lastFrame); err != nil {
		return err
	}
	return j.opts.FS.SyncDir(j.dir) // The name may be as new as the frame.
}

// quarantine moves the torn bytes behind the active segment's last frame away.
func (j *Journal) quarantine() error {
	torn, n, err := j.active.quarantine()
	if err != nil {
		return err
	}
	j.torn = false
	j.opts.Logger.Warn("torn bytes, never acknowledged, moved away",
		"file", j.active.name, "at", j.active.size, "bytes", n, "to", torn)
	return nil
}

// scan checks the frames of a segment up to end, and applies the changes of values behind
// the checkpoint. It returns the place after the last good frame, and the position of
// that frame, 0 if there is none. A *DamageError whose torn is set says that what follows
// is not a frame.
func (j *Journal) scan(f io.ReaderAt, seq, salt, first uint64, end int64) (at place, lastFrame int64, err error) {
	at = place{seq: seq, pos: segmentHeader, next: first}
	name := j.path(segmentName(seq))
	var r frameReader
	r.reset(f, salt, at.pos)
	redo := seq > j.redo.seq
	for {
		if seq == j.redo.seq && !redo && at.pos >= j.redo.pos {
			if at != j.redo {
				return at, lastFrame, &DamageError{
					File: j.path(checkpointName), Cure: cureRestore,
					Reason: fmt.Sprintf("it goes on at byte %d of %s, where no frame begins", j.redo.pos, name),
				}
			}
			redo = true
		}
		fr, err := r.next(end)
		if errors.Is(err, io.EOF) {
			return at, lastFrame, nil
		}
		if err != nil {
			return at, lastFrame, notFrame(name, at.pos, err)
		}
		if err := checkFrame(&fr, at.next); err != nil {
			// The checksums are right: this was not torn.
			return at, lastFrame, &DamageError{File: name, Offset: at.pos, Reason: err.Error(), Cure: cureRestore}
		}
		if redo {
			if err := j.values.apply(fr.body); err != nil {
				return at, lastFrame, &DamageError{File: name, Offset: at.pos, Reason: err.Error(), Cure: cureRestore}
			}
		}
		lastFrame = at.pos
		at.pos = r.pos
		at.next += uint64(fr.count)
	}
}

// checkFrame checks what the checksums do not: the offsets and the entries.
func checkFrame(f *frame, next uint64) error {
	if f.first != next {
		return fmt.Errorf("a frame of offset %d instead of %d", f.first, next)
	}
	records := uint32(0)
	for body := f.body; len(body) > 0; {
		op, _, _, rest, err := nextEntry(body)
		if err != nil {
			return err
		}
		if op == opRecord {
			records++
		}
		body = rest
	}
	if records != f.count {
		return fmt.Errorf("a frame of %d records instead of %d", records, f.count)
	}
	return nil
}

// openCursors reads the cursors and checks them against the log.
func (j *Journal) openCursors() error {
	c, cursors, broken, err := openCursors(j.opts.FS, j.dir, j.epoch)
	if err != nil {
		return fmt.Errorf("open cursors: %w", err)
	}
	j.cursors, j.stored = c, cursors
	if broken != "" {
		j.opts.Logger.Warn("one of two cursor slots is not whole; the other one counts", "file", c.name, "reason", broken)
	}
	oldest := j.segments[0].first
	for name, next := range cursors {
		if next > j.next {
			return &DamageError{
				File: j.active.name, Offset: j.active.size, Cure: cureRestore,
				Reason: fmt.Sprintf("reader %q is at offset %d, but the log ends at %d", name, next, j.next),
			}
		}
		if next < oldest {
			return &DamageError{
				File: j.segments[0].name, Cure: cureRestore,
				Reason: fmt.Sprintf("reader %q is at offset %d, but the log begins at %d", name, next, oldest),
			}
		}
		j.readers[name] = &cursor{next: next}
	}
	return nil
}
