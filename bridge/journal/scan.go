package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// scan is a place to read records from. It belongs to one goroutine at a time.
type scan struct {
	j    *Journal
	done chan struct{} // of its reader

	next   uint64      // offset of the next record to return
	seg    segment     // as it was when last looked at; size is how far may be read
	file   File        // nil if seg is to be opened
	frames frameReader // in file
	frame  uint64      // offset of the next frame in file
	body   []byte      // rest of the current frame
	at     uint64      // offset of the first record in body
}

// seek makes next the offset of the next record to return. What lies ahead in the same
// segment is reached by reading on, everything else by opening a segment.
func (s *scan) seek(next uint64) {
	switch {
	case next < s.next:
		s.release()
	case s.file != nil && next >= s.seg.next:
		s.seg.size = s.frames.pos // So that wait looks where the record is.
	}
	s.next = next
}

// read returns the next records, as [Reader.Next] does.
func (s *scan) read(ctx context.Context, dst []Record, maxBytes int) ([]Record, error) {
	if maxBytes <= 0 {
		maxBytes = maxRead
	}
	dst = dst[:0]
	size := 0
	for size < maxBytes {
		if len(s.body) > 0 {
			dst, size = s.take(dst, size, maxBytes)
			continue
		}
		if len(dst) > 0 && (s.file == nil || !s.frames.buffered() || s.frames.pos >= s.seg.size) {
			break // To read on would overwrite what was taken.
		}
		if err := s.advance(ctx); err != nil {
			if len(dst) > 0 {
				break // It comes again with the next call.
			}
			return nil, err
		}
	}
	return dst, nil
}

// take appends the records of the current frame until there are maxBytes.
func (s *scan) take(dst []Record, size, maxBytes int) ([]Record, int) {
	for len(s.body) > 0 && size < maxBytes {
		op, _, value, rest, err := nextEntry(s.body)
		if err != nil { // checkFrame has seen it whole.
			break
		}
		s.body = rest
		if op != opRecord {
			continue
		}
		if s.at >= s.next {
			dst = append(dst, Record{Offset: s.at, Data: value})
			size += max(len(value), 1)
			s.next = s.at + 1
		}
		s.at++
	}
	return dst, size
}

// advance makes the next frame the current one, and waits for it if need be.
func (s *scan) advance(ctx context.Context) error {
	if s.file == nil || s.frames.pos >= s.seg.size {
		if err := s.wait(ctx); err != nil {
			return err
		}
	}
	f, err := s.frames.next(s.seg.size)
	if err == nil {
		err = checkFrame(&f, s.frame)
	}
	if err != nil {
		name, at := s.seg.name, s.frames.pos
		s.release()
		if errors.Is(err, io.EOF) {
			err = errShort
		}
		return placed(name, at, err)
	}
	s.body, s.at = f.body, f.first
	s.frame += uint64(f.count)
	if s.frame <= s.next {
		s.body = nil // Nothing new in it.
	}
	return nil
}

// wait blocks until there is something behind the current place, and goes to the next
// segment if it is there.
func (s *scan) wait(ctx context.Context) error {
	for {
		seg, wake, err := s.look()
		if err != nil {
			return err
		}
		if wake == nil {
			return s.open(seg)
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return ctx.Err()
		case <-s.done:
			return ErrClosed
		case <-s.j.done:
			return ErrClosed
		}
	}
}

// look returns the segment that holds the next record, or what to wait on.
func (s *scan) look() (segment, <-chan struct{}, error) {
	j := s.j
	j.mu.Lock()
	defer j.mu.Unlock()
	select {
	case <-s.done:
		return segment{}, nil, ErrClosed
	default:
	}
	if j.isClosed() {
		return segment{}, nil, ErrClosed
	}
	if s.next >= j.next {
		if j.wake == nil {
			j.wake = make(chan struct{})
		}
		return segment{}, j.wake, nil
	}
	i, _ := slices.BinarySearchFunc(j.segments, s.next, func(s segment, next uint64) int {
		if s.next <= next {
			return -1
		}
		return 1
	})
	return j.segments[i], nil, nil
}

// open makes seg the current segment.
func (s *scan) open(seg segment) error {
	if s.file != nil && seg.seq == s.seg.seq {
		s.seg = seg
		return nil
	}
	s.release()
	f, err := s.j.opts.FS.OpenFile(seg.name, os.O_RDONLY)
	if err != nil {
		return fmt.Errorf("open segment: %w", err)
	}
	s.seg, s.file, s.frame = seg, f, seg.first
	s.frames.reset(f, seg.salt, segmentHeader)
	return nil
}

// release closes the current segment.
func (s *scan) release() {
	if s.file == nil {
		return
	}
	if err := s.file.Close(); err != nil {
		s.j.opts.Logger.Warn("close segment", "file", s.seg.name, "err", err)
	}
	s.file, s.body = nil, nil
}
