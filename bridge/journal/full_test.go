package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// fillDisk appends until the disk is full and returns how many records went in.
func fillDisk(t *testing.T, j *Journal, from int) int {
	t.Helper()
	for n := from; ; n++ {
		var b Batch
		b.Record(fmt.Append(nil, n, strings.Repeat("x", 5000)))
		b.Put([]byte("last"), fmt.Append(nil, n))
		err := j.Append(&b)
		if err == nil {
			continue
		}
		if !errors.Is(err, syscall.ENOSPC) || errors.Is(err, ErrUncertain) {
			t.Fatalf("append %d: %v", n, err)
		}
		if err := j.Append(&b); err == nil {
			t.Fatal("the disk was not full")
		}
		if got, _ := j.Value([]byte("last")); string(got) != fmt.Sprint(n-1) {
			t.Fatalf("state %s, want %d", got, n-1)
		}
		return n
	}
}

// readNumbers reads what there is and checks that it is the records from up to before to.
func readNumbers(t *testing.T, j *Journal, r *Reader, from, to int) {
	t.Helper()
	got := readAllRecords(t, j, r)
	if len(got) != to-from {
		t.Fatalf("read %d records, want %d", len(got), to-from)
	}
	for i, rec := range got {
		if !strings.HasPrefix(rec, fmt.Sprintf("%d %dx", from+i, from+i)) {
			t.Fatalf("record %d is %.20q", from+i, rec)
		}
	}
}

// testFullDisk runs a journal on a small disk that is full but for what release gives
// back.
func testFullDisk(t *testing.T, dir string, opts Options, release func()) {
	opts.inline = true
	j := mustOpen(t, dir, opts)
	r := mustReader(t, j, "r")
	n := fillDisk(t, j, 1)
	if n < 10 {
		t.Fatalf("full after %d records", n)
	}
	readNumbers(t, j, r, 1, n) // Reads go on.
	mustClose(t, r)
	if err := j.Close(); err != nil && !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}

	j = mustOpen(t, dir, opts) // It opens while full.
	r = mustReader(t, j, "r")
	m := fillDisk(t, j, n)
	readNumbers(t, j, r, 1, m)

	release() // Appends resume by themselves.
	end := fillDisk(t, j, m)
	if end <= m {
		t.Fatal("no append succeeded with more room")
	}
	readNumbers(t, j, r, m, end)

	if err := r.Commit(r.ahead.next); err != nil { // Trimming makes room too.
		t.Fatal(err)
	}
	last := end
	for try := 0; try < 3 && last == end; try++ { // A single segment is rolled first, then trimmed.
		last = fillDisk(t, j, end)
	}
	if last <= end {
		t.Error("no append succeeded after trimming")
	}
	readNumbers(t, j, r, end, last)
	mustClose(t, r)
	if err := j.Close(); err != nil && !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}

	j = mustOpen(t, dir, opts)
	r = mustReader(t, j, "r")
	if want := uint64(last); j.Stats().Next != want {
		t.Errorf("the log ends at %d, want %d", j.Stats().Next, want)
	}
	readNumbers(t, j, r, end, last)
	mustClose(t, r)
	if err := j.Close(); err != nil && !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}

func TestFullDisk(t *testing.T) {
	for _, size := range []int64{64 << 10, 1 << 30} {
		t.Run(fmt.Sprintf("segments of %d KiB", size>>10), func(t *testing.T) {
			fs := newMemFS()
			fs.room = 512 << 10
			testFullDisk(t, "/j", Options{FS: fs, SegmentBytes: size}, func() { fs.room += 256 << 10 })
		})
	}
}

// TestFullTmpfs does the same on a file system of 2 MB.
func TestFullTmpfs(t *testing.T) {
	mnt := t.TempDir()
	if err := mountTmpfs(mnt, "size=2m"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("needs to mount a tmpfs (root on Linux): %v", err)
		}
		t.Skipf("needs to mount a tmpfs (root on Linux): %v", err)
	}
	t.Cleanup(func() {
		if err := unmount(mnt); err != nil {
			t.Error(err)
		}
	})
	ballast := filepath.Join(mnt, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 512<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	testFullDisk(t, filepath.Join(mnt, "j"), Options{SegmentBytes: 256 << 10}, func() {
		if err := os.Remove(ballast); err != nil {
			t.Error(err)
		}
	})
}
