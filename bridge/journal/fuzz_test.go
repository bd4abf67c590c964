package journal

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
	"testing"
)

// FuzzOpenSegment opens a journal whose newest segment goes on with arbitrary bytes, or
// is changed at one place.
func FuzzOpenSegment(f *testing.F) {
	base := newMemFS()
	j := mustOpen(f, "/j", Options{FS: base})
	mustReader(f, j, "r")
	mustAppend(f, j, "one", "two")
	mustAppend(f, j, "three")
	killed := base.crash(nil)
	mustClose(f, j)
	whole := killed.live[firstSegment].data
	salt, _ := decodeHeader(whole)
	f.Add(uint16(0), whole)
	f.Add(uint16(64), whole[64:])
	f.Add(uint16(200), []byte("\x00\x01"))
	f.Add(uint16(64), sealFrame(append(make([]byte, frameHeader), opPut, 9, 9, 9, 9), salt.salt, 1, 0))
	f.Add(uint16(64), sealFrame(append(make([]byte, frameHeader), opRecord, 0, 0, 0, 0), salt.salt, 1, 7))
	f.Fuzz(func(t *testing.T, at uint16, p []byte) {
		fs := killed.crash(nil)
		file := fs.live[firstSegment]
		file.data = append(file.data[:min(int(at), len(file.data))], p...)
		j, err := Open("/j", Options{FS: fs, inline: true})
		if err != nil {
			return
		}
		r := mustReader(t, j, "r")
		for r.ahead.next < j.Stats().Next {
			if _, err := r.Next(t.Context(), nil, 0); err != nil {
				t.Fatalf("Open accepted what Next does not: %v", err)
			}
		}
		mustAppend(t, j, "more")
		mustClose(t, r)
		end := j.Stats().Next
		mustClose(t, j)
		j = mustOpen(t, "/j", Options{FS: fs, inline: true})
		if got := j.Stats().Next; got != end {
			t.Fatalf("the log ends at %d, want %d", got, end)
		}
		mustClose(t, j)
	})
}

// FuzzFrame decodes arbitrary bytes as a frame, with right checksums and without.
func FuzzFrame(f *testing.F) {
	f.Add(uint64(1), uint32(1), []byte{opRecord, 1, 0, 0, 0, 'x'})
	f.Add(uint64(1), uint32(0), []byte{opPut, 1, 0, 0, 0, 1, 0, 0, 0, 'k', 'v', opDelete, 1, 0, 0, 0, 'k'})
	f.Fuzz(func(t *testing.T, first uint64, count uint32, body []byte) {
		if _, _, err := parseFrame(body, first); err == nil {
			t.Log("a frame by chance")
		}
		p := sealFrame(append(make([]byte, frameHeader), body...), 5, first, count)
		fr, n, err := parseFrame(p, 5)
		if err != nil || n != len(p) || fr.first != first || fr.count != count || !slices.Equal(fr.body, body) {
			t.Fatalf("parseFrame: %+v, %d, %v", fr, n, err)
		}
		if _, _, err := parseFrame(p, 6); err == nil {
			t.Fatal("a frame of another file was accepted")
		}
		if checkFrame(&fr, first) == nil {
			if err := (values{}).apply(fr.body); err != nil {
				t.Fatalf("checkFrame accepted what apply does not: %v", err)
			}
		}
		_, _ = decodeDeadLetter(&fr)
	})
}

// FuzzCheckpoint decodes arbitrary bytes as a checkpoint and as a cursor slot.
func FuzzCheckpoint(f *testing.F) {
	c := checkpoint{epoch: 1, redo: place{2, 3, 4}, values: values{}}
	seed := func(p []byte, slot bool) {
		f.Add(p, slot)
		f.Add(p[:len(p)-4], slot)
	}
	seed(c.encode(), false)
	c.values.put([]byte("key"), []byte("value"))
	seed(c.encode(), false)
	seed(encodeCursors(1, 2, map[string]uint64{"a": 3}), true)
	f.Fuzz(func(t *testing.T, p []byte, slot bool) {
		decodeAgain(t, p, slot)
		if slot && len(p) > 16 {
			binary.LittleEndian.PutUint32(p[12:], uint32(len(p)+4))
		}
		decodeAgain(t, binary.LittleEndian.AppendUint32(p, crc32.Checksum(p, castagnoli)), slot)
	})
}

// decodeAgain checks that what can be decoded is the same once more encoded and decoded.
func decodeAgain(t *testing.T, p []byte, slot bool) {
	t.Helper()
	if slot {
		epoch, gen, cursors, err := decodeCursors(p)
		if err != nil {
			return
		}
		_, _, again, err := decodeCursors(encodeCursors(epoch, gen, cursors))
		if err != nil || len(again) != len(cursors) {
			t.Fatalf("%v became %v, %v", cursors, again, err)
		}
		return
	}
	c, err := decodeCheckpoint(p)
	if err != nil {
		var newer newerError
		if errors.As(err, &newer) && newer <= formatVersion {
			t.Fatal(err)
		}
		return
	}
	again, err := decodeCheckpoint(c.encode())
	if err != nil || again.redo != c.redo || len(again.values) != len(c.values) {
		t.Fatalf("%+v became %+v, %v", c, again, err)
	}
}
