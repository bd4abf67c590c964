package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

const deadLettersNew = "deadletters.new"

// removalBuffer is how much of the remaining dead letters is written at a time, in bytes.
const removalBuffer = 1 << 20

var (
	// ErrNoDeadLetter is returned when there is no dead letter of that number.
	ErrNoDeadLetter = errors.New("no such dead letter")
	// ErrNoJournal is returned when a directory holds no journal.
	ErrNoJournal = errors.New("no journal")
)

// RemoveDeadLetters forgets dead letters for good, and makes room for others: all of ids
// or, after an error, none that anybody can count on. It blocks for as long as it takes
// to write the remaining dead letters to a new file. Numbers are never used again. The
// error is ErrNoDeadLetter, and nothing was done, if one of ids is not there.
func (j *Journal) RemoveDeadLetters(ids []uint64) error {
	j.dmu.Lock()
	defer j.dmu.Unlock()
	if j.isClosed() {
		return ErrClosed
	}
	if len(ids) == 0 {
		return nil
	}
	found := make(map[uint64]bool, len(ids))
	for _, id := range ids {
		found[id] = false
	}
	err := j.eachDeadLetter(func(d DeadLetter) bool {
		if _, wanted := found[d.ID]; wanted {
			found[d.ID] = true
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("remove dead letters: %w", err)
	}
	for _, id := range ids {
		if !found[id] {
			return fmt.Errorf("%w: %d", ErrNoDeadLetter, id)
		}
	}
	fresh, err := j.copyDeadLetters(func(id uint64) bool { return !found[id] })
	if err != nil {
		return fmt.Errorf("remove dead letters: %w", err)
	}
	return j.replaceDeadLetters(fresh, uint64(len(found)))
}

// eachDeadLetter calls f as DeadLetters does. dmu is held.
func (j *Journal) eachDeadLetter(f func(DeadLetter) bool) error {
	if j.deadLetters == nil {
		return nil
	}
	_, _, err := scanDeadLetters(j.deadLetters, j.deadLetters.size, f)
	return err
}

// copyDeadLetters makes the file that shall replace the present one: of the dead letters
// those that keep tells, with their numbers, and the number of the next. dmu is held.
func (j *Journal) copyDeadLetters(keep func(id uint64) bool) (*logFile, error) {
	old := j.deadLetters
	l, err := createLog(j.opts.FS, j.path(deadLettersNew), header{epoch: j.epoch, first: old.head.first})
	if err != nil {
		return nil, err
	}
	var b Batch
	var buf []byte
	flush := func() bool {
		_, err = l.f.WriteAt(buf, l.size)
		l.size += int64(len(buf))
		buf = buf[:0]
		return err == nil
	}
	scanErr := j.eachDeadLetter(func(d DeadLetter) bool {
		if !keep(d.ID) {
			return true
		}
		b.Reset()
		b.Record(encodeDeadLetter(d.Reader, Record{Offset: d.Offset, Data: d.Data}, d.Reason, d.Time))
		buf = append(buf, b.seal(l.head.salt, d.ID)...)
		return len(buf) < removalBuffer || flush()
	})
	// A frame without a record tells the next number, lest it be one that was removed.
	buf = append(buf, sealFrame(make([]byte, frameHeader), l.head.salt, old.next, 0)...)
	l.next = old.next
	if err = errors.Join(err, scanErr); err == nil && flush() {
		err = l.f.Sync()
	}
	if err != nil {
		return nil, errors.Join(err, l.f.Close())
	}
	return l, nil
}

// replaceDeadLetters puts a finished file in the place of the present one. Until the
// directory is synced nothing may be added to it, since the old one could come back. dmu
// is held.
func (j *Journal) replaceDeadLetters(fresh *logFile, removed uint64) error {
	if err := j.opts.FS.Rename(fresh.name, j.path(deadLettersName)); err != nil {
		return errors.Join(fmt.Errorf("remove dead letters: %w", err), fresh.f.Close())
	}
	old := j.deadLetters
	fresh.name = old.name
	j.deadLetters, j.deadTorn, j.deadMoved = fresh, false, true
	j.deadCount -= removed
	if err := old.f.Close(); err != nil {
		// It has no name any more, and nothing in it is of use.
		j.opts.Logger.Warn("close the former dead letters", "err", err)
	}
	return j.settleDeadLetters()
}

// settleDeadLetters makes a replacement of the file durable. dmu is held.
func (j *Journal) settleDeadLetters() error {
	if !j.deadMoved {
		return nil
	}
	if err := j.opts.FS.SyncDir(j.dir); err != nil {
		return fmt.Errorf("sync %s: %w", j.dir, err)
	}
	j.deadMoved = false
	return nil
}

// ReadDeadLetters calls f for each dead letter of the journal in dir, oldest first, until
// it returns false. It takes no lock and changes nothing, so that it may be called while
// another process has the journal open; a dead letter that is being added meanwhile may
// be missing. What f is given is valid during the call. The error is ErrNoJournal if
// there is none in dir.
func ReadDeadLetters(dir string, f func(DeadLetter) bool) error {
	fs := osFS{}
	if _, err := os.Stat(filepath.Join(dir, checkpointName)); isNotExist(err) {
		return fmt.Errorf("%w in %s", ErrNoJournal, dir)
	} else if err != nil {
		return err
	}
	l, err := openDeadLetterLog(fs, filepath.Join(dir, deadLettersName), os.O_RDONLY)
	if l == nil || err != nil {
		return err
	}
	end, err := l.f.Size()
	if err == nil {
		var at place
		at, _, err = scanDeadLetters(l, end, f)
		err = tornOnly(l, at, end, err)
	}
	return errors.Join(err, l.f.Close())
}
