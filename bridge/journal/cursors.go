package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
)

const (
	cursorsName   = "cursors"
	cursorsMagic  = "vcastcur"
	cursorsHeader = 40
	// cursorsSlot is the size of one of the two slots of the file.
	cursorsSlot = 32 << 10
	// MaxReaderName is the longest name of a reader, in bytes.
	MaxReaderName = 128
	// MaxReaders is the largest number of readers: as many as fit in a slot with the
	// longest names.
	MaxReaders = (cursorsSlot - cursorsHeader - 4) / (MaxReaderName + 9)
)

// cursorFile keeps the cursors in two slots that are written in turn, so that one is
// always whole. It is written in place, which works on a full disk too.
type cursorFile struct {
	name  string
	f     File
	epoch uint64
	gen   uint64 // generation of the newest whole slot
	slot  int64  // which one that is: 0 or 1
}

// encodeCursors returns a slot.
func encodeCursors(epoch, gen uint64, cursors map[string]uint64) []byte {
	le := binary.LittleEndian
	p := make([]byte, cursorsHeader, 512)
	copy(p, cursorsMagic)
	le.PutUint32(p[8:], formatVersion)
	le.PutUint64(p[16:], epoch)
	le.PutUint64(p[24:], gen)
	le.PutUint32(p[32:], uint32(len(cursors)))
	for name, next := range cursors {
		p = le.AppendUint64(p, next)
		p = append(p, byte(len(name)))
		p = append(p, name...)
	}
	le.PutUint32(p[12:], uint32(len(p)+4))
	return le.AppendUint32(p, crc32.Checksum(p, castagnoli))
}

// decodeCursors is the inverse of encodeCursors; what is behind the slot's length is
// ignored.
func decodeCursors(p []byte) (epoch, gen uint64, cursors map[string]uint64, err error) {
	fail := func(reason string) (uint64, uint64, map[string]uint64, error) {
		return 0, 0, nil, errors.New(reason)
	}
	le := binary.LittleEndian
	if len(p) < cursorsHeader+4 || string(p[:8]) != cursorsMagic {
		return fail("not a cursor slot")
	}
	if v := le.Uint32(p[8:]); v > formatVersion {
		return 0, 0, nil, newerError(v)
	}
	n := le.Uint32(p[12:])
	if n < cursorsHeader+4 || uint64(n) > uint64(len(p)) {
		return fail("wrong length of a cursor slot")
	}
	if crc32.Checksum(p[:n-4], castagnoli) != le.Uint32(p[n-4:]) {
		return fail("wrong checksum of a cursor slot")
	}
	epoch, gen = le.Uint64(p[16:]), le.Uint64(p[24:])
	count := int(le.Uint32(p[32:]))
	cursors = map[string]uint64{}
	for p = p[cursorsHeader : n-4]; len(p) > 0; {
		if len(p) < 9 || len(p) < 9+int(p[8]) {
			return fail("a cursor ends early")
		}
		end := 9 + int(p[8])
		cursors[string(p[9:end])] = le.Uint64(p)
		p = p[end:]
	}
	if len(cursors) != count {
		return fail("wrong number of cursors")
	}
	return epoch, gen, cursors, nil
}

// createCursors makes the file without cursors; its name is not synced.
func createCursors(fs FS, dir string, epoch uint64) error {
	p := make([]byte, 2*cursorsSlot)
	copy(p, encodeCursors(epoch, 1, nil))
	copy(p[cursorsSlot:], encodeCursors(epoch, 2, nil))
	return writeFile(fs, filepath.Join(dir, cursorsName), p)
}

// openCursors opens the file and reads the newest whole slot. broken says why the other
// one, if so, is not.
func openCursors(fs FS, dir string, epoch uint64) (c *cursorFile, cursors map[string]uint64, broken string, err error) {
	c = &cursorFile{name: filepath.Join(dir, cursorsName), epoch: epoch}
	if c.f, err = fs.OpenFile(c.name, os.O_RDWR); err != nil {
		return nil, nil, "", err
	}
	fail := func(err error) (*cursorFile, map[string]uint64, string, error) {
		return nil, nil, "", errors.Join(err, c.f.Close())
	}
	for slot := range int64(2) {
		p := make([]byte, cursorsSlot)
		n, err := c.f.ReadAt(p, slot*cursorsSlot)
		if err != nil && !errors.Is(err, io.EOF) {
			return fail(fmt.Errorf("read %s: %w", c.name, err))
		}
		e, gen, found, err := decodeCursors(p[:n])
		if err == nil && e != epoch {
			err = errors.New("the cursors are of another journal")
		}
		var newer newerError
		switch {
		case errors.As(err, &newer):
			return fail(fmt.Errorf("open %s: %w", c.name, newer))
		case err != nil:
			broken = err.Error()
		case gen > c.gen:
			c.gen, c.slot, cursors = gen, slot, found
		}
	}
	if cursors == nil {
		return fail(&DamageError{File: c.name, Reason: broken, Cure: cureRestore})
	}
	return c, cursors, broken, nil
}

// store makes the cursors durable in the older slot. After an error the newer one still
// counts.
func (c *cursorFile) store(cursors map[string]uint64) error {
	slot := 1 - c.slot
	p := encodeCursors(c.epoch, c.gen+1, cursors)
	if _, err := c.f.WriteAt(p, slot*cursorsSlot); err != nil {
		return fmt.Errorf("write %s: %w", c.name, err)
	}
	if err := c.f.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", c.name, err)
	}
	c.slot = slot
	c.gen++
	return nil
}
