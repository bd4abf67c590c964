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
	checkpointName   = "checkpoint"
	checkpointNew    = "checkpoint.new"
	checkpointMagic  = "vcastckp"
	checkpointHeader = 56
)

// place is a frame boundary in the log.
type place struct {
	seq  uint64 // segment
	pos  int64  // byte in it
	next uint64 // offset of the next record there
}

// checkpoint is the values as they are at a place of the log. The log is the redo from
// there on.
type checkpoint struct {
	epoch  uint64
	redo   place
	values values
}

// encode returns the file's content.
func (c *checkpoint) encode() []byte {
	le := binary.LittleEndian
	p := make([]byte, checkpointHeader, checkpointHeader+c.values.bytes()+4)
	copy(p, checkpointMagic)
	le.PutUint32(p[8:], formatVersion)
	le.PutUint64(p[16:], c.epoch)
	le.PutUint64(p[24:], c.redo.seq)
	le.PutUint64(p[32:], uint64(c.redo.pos))
	le.PutUint64(p[40:], c.redo.next)
	le.PutUint64(p[48:], uint64(len(c.values)))
	for k, v := range c.values {
		p = le.AppendUint32(p, uint32(len(k)))
		p = le.AppendUint32(p, uint32(len(v.value)))
		p = append(p, k...)
		p = append(p, v.value...)
	}
	return le.AppendUint32(p, crc32.Checksum(p, castagnoli))
}

// decodeCheckpoint is the inverse of encode.
func decodeCheckpoint(p []byte) (*checkpoint, error) {
	le := binary.LittleEndian
	if len(p) < checkpointHeader+4 {
		return nil, errors.New("the checkpoint ends early")
	}
	if string(p[:8]) != checkpointMagic {
		return nil, errors.New("not a checkpoint")
	}
	if v := le.Uint32(p[8:]); v > formatVersion {
		return nil, newerError(v)
	}
	p, sum := p[:len(p)-4], le.Uint32(p[len(p)-4:])
	if crc32.Checksum(p, castagnoli) != sum {
		return nil, errors.New("wrong checksum of the checkpoint")
	}
	c := &checkpoint{
		epoch:  le.Uint64(p[16:]),
		redo:   place{seq: le.Uint64(p[24:]), pos: int64(le.Uint64(p[32:])), next: le.Uint64(p[40:])},
		values: values{},
	}
	count := le.Uint64(p[48:])
	for p = p[checkpointHeader:]; len(p) > 0; count-- {
		if len(p) < 8 {
			return nil, errors.New("a value ends early")
		}
		klen, vlen := uint64(le.Uint32(p)), uint64(le.Uint32(p[4:]))
		if p = p[8:]; uint64(len(p)) < klen+vlen {
			return nil, errors.New("a value ends early")
		}
		c.values.put(p[:klen], p[klen:klen+vlen])
		p = p[klen+vlen:]
	}
	if count != 0 {
		return nil, errors.New("wrong number of values")
	}
	return c, nil
}

// storeCheckpoint replaces the checkpoint in dir. Whatever fails, and whenever the
// process ends, either the old or the new one is there. After an error it is not known
// which.
func storeCheckpoint(fs FS, dir string, p []byte) error {
	fresh := filepath.Join(dir, checkpointNew)
	if err := writeFile(fs, fresh, p); err != nil {
		return err
	}
	if err := fs.Rename(fresh, filepath.Join(dir, checkpointName)); err != nil {
		return err
	}
	if err := fs.SyncDir(dir); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}

// loadCheckpoint returns an error that is os.ErrNotExist if there is none.
func loadCheckpoint(fs FS, dir string) (*checkpoint, error) {
	name := filepath.Join(dir, checkpointName)
	p, err := readFile(fs, name)
	if err != nil {
		return nil, err
	}
	c, err := decodeCheckpoint(p)
	if err != nil {
		return nil, placed(name, 0, err)
	}
	return c, nil
}

// readFile returns the content of a file.
func readFile(fs FS, name string) ([]byte, error) {
	f, err := fs.OpenFile(name, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	p, err := readAll(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return p, nil
}

func readAll(f File) ([]byte, error) {
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	p := make([]byte, size)
	n, err := f.ReadAt(p, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return p[:n], err
}
