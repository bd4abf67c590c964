package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// manyFrames makes a journal of five batches that was killed, and returns it with the
// place behind each frame of its only segment.
func manyFrames(t *testing.T) (*memFS, []int64) {
	t.Helper()
	fs := newMemFS()
	j := mustOpen(t, "/j", Options{FS: fs})
	mustReader(t, j, "r")
	ends := []int64{segmentHeader}
	for i := range 5 {
		var b Batch
		for k := range i%3 + 1 {
			b.Record(fmt.Appendf(nil, "record %d of batch %d", k, i))
		}
		b.Put([]byte("last"), fmt.Append(nil, i))
		if err := j.Append(&b); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, j.Stats().Bytes)
	}
	left := fs.crash(nil)
	mustClose(t, j)
	return left, ends
}

const firstSegment = "/j/0000000000000001.seg"

// survey opens the journal and returns what it holds.
func survey(t *testing.T, fs *memFS) (records int, last string, err error) {
	t.Helper()
	j, err := Open("/j", Options{FS: fs})
	if err != nil {
		return 0, "", err
	}
	defer mustClose(t, j)
	r := mustReader(t, j, "r")
	defer mustClose(t, r)
	records = len(readAllRecords(t, j, r))
	return records, valueMap(j)["last"], nil
}

func TestCutAtEachByte(t *testing.T) {
	whole, ends := manyFrames(t)
	counts := []int{0, 1, 3, 6, 7, 9}
	for size := range ends[len(ends)-1] + 1 {
		fs := whole.crash(nil)
		fs.live[firstSegment].data = fs.live[firstSegment].data[:size]
		got, last, err := survey(t, fs)
		if size < segmentHeader { // The checkpoint says that there was a segment.
			var damage *DamageError
			if !errors.As(err, &damage) {
				t.Errorf("cut at %d: %v", size, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("cut at %d: %v", size, err)
			continue
		}
		frames, _ := slices.BinarySearch(ends, size+1)
		frames--
		if want := counts[frames]; got != want || frames > 0 && last != fmt.Sprint(frames-1) {
			t.Errorf("cut at %d: %d records, state %s, want %d", size, got, last, want)
		}
		if left := len(fs.live[firstSegment].data); int64(left) != ends[frames] {
			t.Errorf("cut at %d: %d bytes left, want %d", size, left, ends[frames])
		}
		torn := fmt.Sprintf("%s.%d.torn", firstSegment, ends[frames])
		kept := fs.live[torn]
		if size == ends[frames] {
			if kept != nil {
				t.Errorf("cut at %d: there is %s", size, torn)
			}
			continue
		}
		if kept == nil || !slices.Equal(kept.data, whole.live[firstSegment].data[ends[frames]:size]) {
			t.Errorf("cut at %d: the torn bytes are not in %s", size, torn)
		}
	}
}

func TestFlipEachBit(t *testing.T) {
	whole, ends := manyFrames(t)
	end := ends[len(ends)-1]
	lastFrame := ends[len(ends)-2]
	for at := range end {
		for _, bit := range []byte{1, 1 << (at % 8), 0x80, 0xff} {
			fs := whole.crash(nil)
			fs.live[firstSegment].data[at] ^= bit
			got, _, err := survey(t, fs)
			if at >= lastFrame { // It cannot be told from a torn write.
				if err != nil || got != 7 {
					t.Errorf("byte %d ^ %#x: %d records, %v", at, bit, got, err)
				}
				if fs.live[fmt.Sprintf("%s.%d.torn", firstSegment, lastFrame)] == nil {
					t.Errorf("byte %d ^ %#x: nothing in quarantine", at, bit)
				}
				continue
			}
			var damage *DamageError
			if at >= 8 && at < 12 && err != nil && strings.Contains(err.Error(), "newer") {
				continue // The version.
			}
			if !errors.As(err, &damage) || damage.File != firstSegment || damage.Cure == "" {
				t.Errorf("byte %d ^ %#x: %v", at, bit, err)
				continue
			}
			frame, _ := slices.BinarySearch(ends, at+1)
			want := int64(0)
			if at >= segmentHeader {
				want = ends[frame-1]
			}
			if damage.Offset != want {
				t.Errorf("byte %d: said to be damaged at %d, want %d", at, damage.Offset, want)
			}
			if !slices.Equal(fs.names("/j"), whole.names("/j")) {
				t.Errorf("byte %d: files changed: %q", at, fs.names("/j"))
			}
		}
	}
}

// TestFlipAfterClose: the checkpoint of a clean end knows that the last frame was
// acknowledged.
func TestFlipAfterClose(t *testing.T) {
	whole, ends := manyFrames(t)
	mustClose(t, mustOpen(t, "/j", Options{FS: whole}))
	for at := range ends[len(ends)-1] {
		for _, change := range []string{"flip", "cut"} {
			fs := whole.crash(nil)
			f := fs.live[firstSegment]
			if change == "cut" {
				f.data = f.data[:at]
			} else {
				f.data[at] ^= 1
			}
			if _, _, err := survey(t, fs); err == nil {
				t.Errorf("%s at %d was not noticed", change, at)
			}
		}
	}
}

// TestDamageElsewhere damages or takes away what is not the newest segment.
func TestDamageElsewhere(t *testing.T) {
	base := newMemFS()
	j := mustOpen(t, "/j", Options{FS: base, inline: true, SegmentBytes: 1000})
	mustReader(t, j, "r")
	for i := range 6 {
		mustAppend(t, j, fmt.Sprint(i, strings.Repeat("x", 900)))
	}
	mustClose(t, j)
	if got := len(base.names("/j")); got != 8 {
		t.Fatalf("files: %q", base.names("/j"))
	}
	for _, tc := range []struct {
		name   string
		file   string
		change func(p []byte) []byte
		want   string
	}{
		{"flip in an old segment", "0000000000000002.seg", flip(500), "0000000000000002.seg is damaged at byte 64: wrong checksum of a frame"},
		{"flip in an old header", "0000000000000002.seg", flip(30), "0000000000000002.seg is damaged at byte 0: wrong checksum"},
		{"old segment cut", "0000000000000002.seg", cut(500), "0000000000000002.seg is damaged at byte 500: it had 998 bytes"},
		{"old segment gone", "0000000000000002.seg", nil, "0000000000000002.seg is damaged at byte 0: the segment is missing"},
		{"oldest segment gone", "0000000000000001.seg", nil, `reader "r" is at offset 1, but the log begins at 2`},
		{"newest segment gone", "0000000000000006.seg", nil, "0000000000000006.seg is damaged at byte 0: the segment is missing"},
		{"newest segment empty", "0000000000000006.seg", cut(0), "0000000000000006.seg is damaged at byte 0: frame ends early"},
		{"newer segment", "0000000000000003.seg", set(8, 2), "format 2 and this version of virtcast knows formats up to 1"},
		{"checkpoint gone", "checkpoint", nil, "it is missing, and there are segments"},
		{"checkpoint flipped", "checkpoint", flip(20), "checkpoint is damaged at byte 0: wrong checksum"},
		{"checkpoint cut", "checkpoint", cut(57), "checkpoint is damaged at byte 0: the checkpoint ends early"},
		{"newer checkpoint", "checkpoint", set(8, 3), "format 3 and this version of virtcast knows formats up to 1"},
		{"cursors gone", "cursors", nil, "open cursors"},
		{"both slots of the cursors", "cursors", func(p []byte) []byte { return flip(20)(flip(cursorsSlot + 20)(p)) }, "cursors is damaged at byte 0: wrong checksum"},
		{"newer cursors", "cursors", set(8, 2), "format 2"},
		{"one slot of the cursors", "cursors", flip(20), ""},
		{"the other slot of the cursors", "cursors", flip(cursorsSlot + 20), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			fs := base.crash(nil)
			name := filepath.Join("/j", tc.file)
			if tc.change == nil {
				delete(fs.live, name)
			} else {
				fs.live[name].data = tc.change(fs.live[name].data)
			}
			before := fs.names("/j")
			n, _, err := survey(t, fs)
			if tc.want == "" {
				if err != nil || n != 6 {
					t.Errorf("%d records, %v", n, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
			if diff := cmp.Diff(before, fs.names("/j")); diff != "" {
				t.Errorf("files changed: %s", diff)
			}
		})
	}
}

func flip(at int) func([]byte) []byte {
	return func(p []byte) []byte { p[at] ^= 4; return p }
}

func cut(at int) func([]byte) []byte { return func(p []byte) []byte { return p[:at] } }

func set(at int, v byte) func([]byte) []byte { return func(p []byte) []byte { p[at] = v; return p } }

// TestCursorAhead: a log that lost its newest frames after a reader had them.
func TestCursorAhead(t *testing.T) {
	fs := newMemFS()
	j := mustOpen(t, "/j", Options{FS: fs, inline: true})
	r := mustReader(t, j, "r")
	mustAppend(t, j, "one")
	end := j.Stats().Bytes
	mustAppend(t, j, "two")
	if got := readAllRecords(t, j, r); len(got) != 2 {
		t.Fatal(got)
	}
	if err := r.Commit(3); err != nil {
		t.Fatal(err)
	}
	left := fs.crash(nil)
	mustClose(t, j)
	left.live[firstSegment].data = left.live[firstSegment].data[:end]
	_, err := Open("/j", Options{FS: left})
	if err == nil || !strings.Contains(err.Error(), `reader "r" is at offset 3, but the log ends at 2`) {
		t.Errorf("Open: %v", err)
	}
}

// TestDamageWhileReading: what Open does not check, because it is old, is checked when it
// is read.
func TestDamageWhileReading(t *testing.T) {
	fs := newMemFS()
	j := mustOpen(t, "/j", Options{FS: fs})
	defer mustClose(t, j)
	r := mustReader(t, j, "r")
	mustAppend(t, j, "one")
	mustAppend(t, j, "two")
	p := fs.live[firstSegment].data
	p[len(p)-10] ^= 1
	recs, err := r.Next(t.Context(), nil, 0)
	if err != nil || len(recs) != 1 {
		t.Fatalf("%d records, %v", len(recs), err)
	}
	for range 2 {
		_, err = r.Next(t.Context(), nil, 0)
		var damage *DamageError
		if !errors.As(err, &damage) || damage.File != firstSegment || damage.Offset != 100 {
			t.Fatalf("Next: %v", err)
		}
	}
	p[len(p)-10] ^= 1
	if recs, err = r.Next(t.Context(), nil, 0); err != nil || len(recs) != 1 || string(recs[0].Data) != "two" {
		t.Errorf("after the repair: %v, %v", recs, err)
	}
}

// TestFrameInARecord: the bytes of a frame inside a torn record do not count as a frame.
func TestFrameInARecord(t *testing.T) {
	fs := newMemFS()
	j := mustOpen(t, "/j", Options{FS: fs})
	mustReader(t, j, "r")
	mustAppend(t, j, "one")
	other := sealFrame(make([]byte, frameHeader), 12345, 2, 0)
	mustAppend(t, j, "two"+string(other)+"and so on")
	left := fs.crash(nil)
	mustClose(t, j)
	f := left.live[firstSegment]
	f.data = f.data[:len(f.data)-1]
	if n, _, err := survey(t, left); n != 1 || err != nil {
		t.Errorf("%d records, %v", n, err)
	}
}

func TestTornDeadLetters(t *testing.T) {
	base := newMemFS()
	j := mustOpen(t, "/j", Options{FS: base})
	var ends []int
	for i := range 3 {
		if err := j.DeadLetter("r", Record{Offset: uint64(i)}, "why"); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, len(base.live["/j/deadletters"].data))
	}
	mustClose(t, j)
	for size := range ends[2] + 1 {
		fs := base.crash(nil)
		fs.live["/j/deadletters"].data = fs.live["/j/deadletters"].data[:size]
		j := mustOpen(t, "/j", Options{FS: fs})
		if err := j.DeadLetter("r", Record{Offset: 9}, "why"); err != nil {
			t.Errorf("cut at %d: %v", size, err)
		}
		want, _ := slices.BinarySearch(ends, size+1)
		if got := j.Stats().DeadLetters; got != uint64(want+1) {
			t.Errorf("cut at %d: %d dead letters, want %d", size, got, want+1)
		}
		mustClose(t, j)
	}
	for at := range ends[2] {
		fs := base.crash(nil)
		fs.live["/j/deadletters"].data[at] ^= 1
		j, err := Open("/j", Options{FS: fs})
		if at < ends[1] {
			if err == nil || !strings.Contains(err.Error(), "deadletters") {
				t.Errorf("flip at %d: %v", at, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("flip at %d: %v", at, err)
			continue
		}
		mustClose(t, j)
	}
}

func TestNotADirectory(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(name, Options{}); err == nil {
		t.Error("a file was accepted as a directory")
	}
}
