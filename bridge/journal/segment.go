package journal

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	formatVersion   = 1
	segmentMagic    = "vcastseg"
	segmentHeader   = 64
	segmentSuffix   = ".seg"
	tornSuffix      = ".torn"
	deadLettersName = "deadletters"
)

// header is the first segmentHeader bytes of a segment.
type header struct {
	epoch    uint64
	seq      uint64 // number of the segment, from 1 on; 0 for the dead letters
	first    uint64 // offset of the first record
	prevSize int64  // bytes that count of the segment before; what is behind them was never acknowledged
	salt     uint64 // random, part of each frame's checksum
}

func (h *header) encode() []byte {
	p := make([]byte, 0, segmentHeader)
	le := binary.LittleEndian
	p = append(p, segmentMagic...)
	p = le.AppendUint32(p, formatVersion)
	p = le.AppendUint32(p, 0)
	p = le.AppendUint64(p, h.epoch)
	p = le.AppendUint64(p, h.seq)
	p = le.AppendUint64(p, h.first)
	p = le.AppendUint64(p, uint64(h.prevSize))
	p = le.AppendUint64(p, h.salt)
	p = le.AppendUint32(p, 0)
	return le.AppendUint32(p, crc32.Checksum(p, castagnoli))
}

func decodeHeader(p []byte) (header, error) {
	if len(p) < segmentHeader {
		return header{}, errShort
	}
	le := binary.LittleEndian
	if string(p[:8]) != segmentMagic {
		return header{}, errors.New("not a segment")
	}
	if v := le.Uint32(p[8:]); v > formatVersion {
		return header{}, newerError(v)
	}
	if crc32.Checksum(p[:segmentHeader-4], castagnoli) != le.Uint32(p[segmentHeader-4:segmentHeader]) {
		return header{}, errors.New("wrong checksum of the segment header")
	}
	return header{
		epoch: le.Uint64(p[16:]), seq: le.Uint64(p[24:]), first: le.Uint64(p[32:]),
		prevSize: int64(le.Uint64(p[40:])), salt: le.Uint64(p[48:]),
	}, nil
}

func segmentName(seq uint64) string { return fmt.Sprintf("%016d%s", seq, segmentSuffix) }

// segmentSeq is the inverse of segmentName.
func segmentSeq(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok || len(digits) < 16 {
		return 0, false
	}
	seq, err := strconv.ParseUint(digits, 10, 64)
	return seq, err == nil && segmentName(seq) == name
}

// logFile is a file of frames that is appended to: the newest segment, or the
// file of dead letters.
type logFile struct {
	fs   FS
	name string
	f    File
	head header
	size int64  // bytes that count: all durable, and whole frames
	next uint64 // offset after the last record
}

// createLog makes a file with a header and no frames, durably. It replaces what an
// earlier attempt left.
func createLog(fs FS, name string, head header) (*logFile, error) {
	var salt [8]byte
	if _, err := rand.Read(salt[:]); err != nil {
		return nil, err
	}
	head.salt = binary.LittleEndian.Uint64(salt[:])
	f, err := fs.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return nil, err
	}
	_, err = f.WriteAt(head.encode(), 0)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = fs.SyncDir(filepath.Dir(name))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &logFile{fs: fs, name: name, f: f, head: head, size: segmentHeader, next: head.first}, nil
}

// openLog opens a file and reads its header. size is 0 until it was scanned.
func openLog(fs FS, name string, flag int) (*logFile, error) {
	f, err := fs.OpenFile(name, flag)
	if err != nil {
		return nil, err
	}
	head, err := readHeader(f)
	if err != nil {
		return nil, errors.Join(placed(name, 0, err), f.Close())
	}
	return &logFile{fs: fs, name: name, f: f, head: head, next: head.first}, nil
}

func readHeader(f io.ReaderAt) (header, error) {
	p := make([]byte, segmentHeader)
	n, err := f.ReadAt(p, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return header{}, &readError{err}
	}
	return decodeHeader(p[:n])
}

// write appends a frame of count records and returns whether everything up to the sync
// went well. After an error the file may hold anything behind size, and cut must be
// called.
func (l *logFile) write(p []byte, count uint32) (written bool, err error) {
	if _, err := l.f.WriteAt(p, l.size); err != nil {
		return false, fmt.Errorf("write %s: %w", l.name, err)
	}
	if err := l.f.Sync(); err != nil {
		return true, fmt.Errorf("sync %s: %w", l.name, err)
	}
	l.size += int64(len(p))
	l.next += uint64(count)
	return true, nil
}

// cut durably removes what is behind size.
func (l *logFile) cut() error {
	if err := l.f.Truncate(l.size); err != nil {
		return fmt.Errorf("cut %s: %w", l.name, err)
	}
	if err := l.f.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", l.name, err)
	}
	return nil
}

// quarantine copies what is behind size to a .torn file, durably, and cuts it off.
func (l *logFile) quarantine() (torn string, n int64, err error) {
	end, err := l.f.Size()
	if err != nil {
		return "", 0, err
	}
	n = end - l.size
	p := make([]byte, n)
	if _, err := l.f.ReadAt(p, l.size); err != nil && !errors.Is(err, io.EOF) {
		return "", 0, fmt.Errorf("read %s: %w", l.name, err)
	}
	torn = fmt.Sprintf("%s.%d%s", l.name, l.size, tornSuffix)
	if err := writeFile(l.fs, torn, p); err != nil {
		return "", 0, err
	}
	if err := l.fs.SyncDir(filepath.Dir(torn)); err != nil {
		return "", 0, fmt.Errorf("sync directory of %s: %w", torn, err)
	}
	return torn, n, l.cut()
}

// rewrite writes the bytes from pos to size once more and syncs. A process that was
// killed may have left them in the page cache only, or even been told that they could not
// be written; a sync alone would then do nothing.
func (l *logFile) rewrite(pos int64) error {
	p := make([]byte, l.size-pos) // Of a file without frames, the header.
	if _, err := l.f.ReadAt(p, pos); err != nil {
		return fmt.Errorf("read %s: %w", l.name, err)
	}
	if _, err := l.f.WriteAt(p, pos); err != nil {
		return fmt.Errorf("write %s: %w", l.name, err)
	}
	if err := l.f.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", l.name, err)
	}
	return nil
}

// writeFile makes a file with a synced content; its name is not synced.
func writeFile(fs FS, name string, p []byte) error {
	f, err := fs.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(p, 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// frameBehind looks for the header of a frame in p. As at most one frame at a
// time is not acknowledged, a header behind a bad frame proves that the bad one was.
func frameBehind(p []byte, salt uint64) bool {
	magic := binary.LittleEndian.AppendUint32(nil, frameMagic)
	for {
		i := bytes.Index(p, magic)
		if i < 0 {
			return false
		}
		p = p[i:]
		if _, err := frameSize(p, salt); err == nil {
			return true
		}
		p = p[1:]
	}
}
