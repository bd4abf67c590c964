package journal

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestUncertain: the disk refuses a batch and its erasure, the process is killed, the
// batch is found by the next Open, and is durable from then on, although the page cache
// thinks that it was written.
func TestUncertain(t *testing.T) {
	for seed := range uint64(30) {
		fs := newMemFS()
		j := mustOpen(t, "/j", Options{FS: fs, inline: true})
		mustReader(t, j, "r")
		mustAppend(t, j, "one")
		fs.fail = func(_ int, op, _ string) error {
			if op == "write" {
				return nil
			}
			return errInjected
		}
		var b Batch
		b.Record([]byte(strings.Repeat("two", 5000)))
		if err := j.Append(&b); !errors.Is(err, ErrUncertain) || !errors.Is(err, errInjected) {
			t.Fatalf("Append: %v", err)
		}
		if st := j.Stats(); st.Next != 2 || st.Records != 1 {
			t.Fatalf("an uncertain batch is visible: %+v", st)
		}
		fs = fs.crash(nil)
		j = mustOpen(t, "/j", Options{FS: fs, inline: true})
		next := j.Stats().Next
		if next != 3 {
			t.Fatalf("the log ends at %d", next)
		}
		j = mustOpen(t, "/j", Options{FS: fs.crash(rand.New(rand.NewPCG(seed, 1))), inline: true})
		if got := j.Stats().Next; got != next {
			t.Errorf("seed %d: the log ended at %d, and at %d after a power cut", seed, next, got)
		}
	}
}

// TestUncertainThenErased: what could not be erased at once is by the next Append or
// Close.
func TestUncertainThenErased(t *testing.T) {
	for _, by := range []string{"append", "close"} {
		fs := newMemFS()
		j := mustOpen(t, "/j", Options{FS: fs, inline: true})
		r := mustReader(t, j, "r")
		fs.fail = func(_ int, op, _ string) error {
			if op == "write" {
				return nil
			}
			return errInjected
		}
		var b Batch
		b.Record([]byte("lost"))
		if err := j.Append(&b); !errors.Is(err, ErrUncertain) {
			t.Fatalf("Append: %v", err)
		}
		if err := j.Append(&b); err == nil {
			t.Fatal("Append on a disk that fails")
		}
		fs.fail = nil
		if by == "append" {
			mustAppend(t, j, "kept")
			if got := readAllRecords(t, j, r); len(got) != 1 || got[0] != "1 kept" {
				t.Errorf("read %q", got)
			}
			fs = fs.crash(nil)
		} else {
			mustClose(t, j)
		}
		n, _, err := survey(t, fs)
		if want := map[string]int{"append": 1, "close": 0}[by]; n != want || err != nil {
			t.Errorf("%s: %d records, %v, want %d", by, n, err, want)
		}
	}
}
