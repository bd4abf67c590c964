package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// maxReason is how much of a reason is kept, in bytes.
const maxReason = 4 << 10

// DeadLetter is a record that a reader's sink refused for good.
type DeadLetter struct {
	ID     uint64 // from 1 on, in the order of arrival
	Reader string
	Offset uint64 // the record's
	Time   time.Time
	Reason string
	Data   []byte // the record's
}

// DeadLetter keeps a record that the reader's sink refuses for good, beside the log. It
// is durable when DeadLetter returns nil; after an error nothing was kept. ErrFull says
// that there are Options.MaxDeadLetterBytes already, until some are removed: a full area
// never drops a dead letter to take another, so the caller must not go past the record.
// The reason is cut to 4 KiB.
func (j *Journal) DeadLetter(reader string, rec Record, reason string) error {
	if len(reader) > MaxReaderName {
		return fmt.Errorf("dead letter: reader name of %d bytes", len(reader))
	}
	if len(rec.Data) > MaxBatchBytes {
		return fmt.Errorf("dead letter: %w", ErrTooLarge)
	}
	var b Batch
	b.Record(encodeDeadLetter(reader, rec, reason[:min(len(reason), maxReason)], time.Now()))
	j.dmu.Lock()
	defer j.dmu.Unlock()
	if j.isClosed() {
		return ErrClosed
	}
	if err := j.prepareDeadLetters(int64(b.Bytes())); err != nil {
		return fmt.Errorf("dead letter: %w", err)
	}
	l := j.deadLetters
	if _, err := l.write(b.seal(l.head.salt, l.next), 1); err != nil {
		cutErr := l.cut()
		j.deadTorn = cutErr != nil
		return fmt.Errorf("dead letter: %w", errors.Join(err, cutErr))
	}
	j.deadCount++
	return nil
}

// prepareDeadLetters makes the file ready to take size bytes.
func (j *Journal) prepareDeadLetters(size int64) error {
	if j.deadLetters == nil {
		l, err := createLog(j.opts.FS, j.path(deadLettersName), header{epoch: j.epoch, first: 1})
		if err != nil {
			return err
		}
		j.deadLetters = l
	}
	if err := j.settleDeadLetters(); err != nil {
		return err
	}
	if j.deadTorn {
		if _, _, err := j.deadLetters.quarantine(); err != nil {
			return err
		}
		j.deadTorn = false
	}
	if j.deadLetters.size+size > j.opts.MaxDeadLetterBytes {
		return ErrFull
	}
	return nil
}

// DeadLetters calls f for each dead letter, oldest first, until it returns false. What it
// is given is valid during the call. DeadLetter and Journal.Stats wait meanwhile: f must
// not call them.
func (j *Journal) DeadLetters(f func(DeadLetter) bool) error {
	j.dmu.Lock()
	defer j.dmu.Unlock()
	if j.isClosed() {
		return ErrClosed
	}
	return j.eachDeadLetter(f)
}

// openDeadLetters opens the file, if there is one, as verifyActive does a segment.
func (j *Journal) openDeadLetters() error {
	name := j.path(deadLettersName)
	l, err := openDeadLetterLog(j.opts.FS, name, os.O_RDWR)
	if l == nil || err != nil {
		return err
	}
	j.deadLetters = l
	end, err := l.f.Size()
	if err != nil {
		return err
	}
	at, lastFrame, err := scanDeadLetters(l, end, func(DeadLetter) bool { j.deadCount++; return true })
	if err := tornOnly(l, at, end, err); err != nil {
		return err
	}
	l.size, l.next = at.pos, at.next
	if l.size < end {
		torn, n, err := l.quarantine()
		j.deadTorn = err != nil
		j.opts.Logger.Warn("torn bytes of a dead letter, never acknowledged", "file", name, "bytes", n, "to", torn, "err", err)
	}
	if err := l.rewrite(lastFrame); err != nil {
		return err
	}
	return j.opts.FS.SyncDir(j.dir)
}

// openDeadLetterLog opens the file and reads its header. It returns nil if there is none,
// or no more than an interrupted creation left, which the next one replaces.
func openDeadLetterLog(fs FS, name string, flag int) (*logFile, error) {
	l, err := openLog(fs, name, flag)
	var damage *DamageError
	switch {
	case isNotExist(err):
		return nil, nil
	case errors.As(err, &damage):
		p, readErr := readFile(fs, name)
		if readErr != nil || len(p) > segmentHeader {
			damage.Cure = cureDeadLetters
			return nil, errors.Join(damage, readErr)
		}
		return nil, nil
	}
	return l, err
}

// tornOnly returns the error of a scan up to end, unless it says no more than that what
// is behind the last dead letter was never acknowledged.
func tornOnly(l *logFile, at place, end int64, err error) error {
	var damage *DamageError
	if err == nil || !errors.As(err, &damage) || !damage.torn {
		return err
	}
	rest := make([]byte, end-at.pos)
	if _, readErr := l.f.ReadAt(rest, at.pos); readErr != nil && !errors.Is(readErr, io.EOF) {
		return fmt.Errorf("read %s: %w", l.name, readErr)
	}
	if frameBehind(rest[1:], l.head.salt) {
		return err
	}
	return nil
}

// scanDeadLetters gives the dead letters up to end to f, and returns as scan does.
func scanDeadLetters(l *logFile, end int64, f func(DeadLetter) bool) (at place, lastFrame int64, err error) {
	var r frameReader
	r.reset(l.f, l.head.salt, segmentHeader)
	at = place{pos: segmentHeader, next: l.head.first}
	for {
		fr, err := r.next(end)
		if errors.Is(err, io.EOF) {
			return at, lastFrame, nil
		}
		if err != nil {
			return at, lastFrame, deadLetterDamage(notFrame(l.name, at.pos, err))
		}
		if fr.first > at.next {
			at.next = fr.first // Those between were removed.
		}
		if err := checkFrame(&fr, at.next); err != nil {
			return at, lastFrame, deadLetterDamage(placed(l.name, at.pos, err))
		}
		if fr.count > 0 {
			letter, err := decodeDeadLetter(&fr)
			if err != nil {
				return at, lastFrame, deadLetterDamage(placed(l.name, at.pos, err))
			}
			if !f(letter) {
				return at, lastFrame, nil
			}
			at.next++
		}
		lastFrame = at.pos
		at.pos = r.pos
	}
}

func deadLetterDamage(err error) error {
	var damage *DamageError
	if errors.As(err, &damage) {
		damage.Cure = cureDeadLetters
	}
	return err
}

func encodeDeadLetter(reader string, rec Record, reason string, now time.Time) []byte {
	le := binary.LittleEndian
	p := make([]byte, 0, 24+len(reader)+len(reason)+len(rec.Data))
	p = le.AppendUint64(p, rec.Offset)
	p = le.AppendUint64(p, uint64(now.UnixNano()))
	p = le.AppendUint32(p, uint32(len(reader)))
	p = le.AppendUint32(p, uint32(len(reason)))
	p = append(p, reader...)
	p = append(p, reason...)
	return append(p, rec.Data...)
}

// decodeDeadLetter is the inverse of encodeDeadLetter, from a frame that was checked.
func decodeDeadLetter(f *frame) (DeadLetter, error) {
	op, _, p, rest, err := nextEntry(f.body)
	if err != nil {
		return DeadLetter{}, err
	}
	if op != opRecord || len(rest) > 0 || len(p) < 24 {
		return DeadLetter{}, errors.New("not a dead letter")
	}
	le := binary.LittleEndian
	d := DeadLetter{ID: f.first, Offset: le.Uint64(p), Time: time.Unix(0, int64(le.Uint64(p[8:]))).UTC()}
	nameLen, reasonLen := uint64(le.Uint32(p[16:])), uint64(le.Uint32(p[20:]))
	if p = p[24:]; uint64(len(p)) < nameLen+reasonLen {
		return DeadLetter{}, errors.New("a dead letter ends early")
	}
	d.Reader = string(p[:nameLen])
	d.Reason = string(p[nameLen : nameLen+reasonLen])
	d.Data = p[nameLen+reasonLen:]
	return d, nil
}
