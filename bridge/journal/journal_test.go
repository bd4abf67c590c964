package journal

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if childMain() {
		return
	}
	goleak.VerifyTestMain(m)
}

func mustOpen(t testing.TB, dir string, opts Options) *Journal {
	t.Helper()
	j, err := Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func mustClose(t testing.TB, c interface{ Close() error }) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

func mustAppend(t testing.TB, j *Journal, records ...string) {
	t.Helper()
	var b Batch
	for _, r := range records {
		b.Record([]byte(r))
	}
	if err := j.Append(&b); err != nil {
		t.Fatal(err)
	}
}

func mustReader(t testing.TB, j *Journal, name string) *Reader {
	t.Helper()
	r, err := j.Reader(name)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// readAllRecords reads what there is without waiting for more.
func readAllRecords(t testing.TB, j *Journal, r *Reader) []string {
	t.Helper()
	var got []string
	for end := j.Stats().Next; r.ahead.next < end; {
		recs, err := r.Next(t.Context(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range recs {
			got = append(got, fmt.Sprintf("%d %s", rec.Offset, rec.Data))
		}
	}
	return got
}

func valueMap(j *Journal) map[string]string {
	got := map[string]string{}
	j.Values(func(k, v []byte) bool {
		got[string(k)] = string(v)
		return true
	})
	return got
}

func TestReopen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	j := mustOpen(t, dir, Options{})
	epoch := j.Epoch()
	if seconds := int64(epoch >> 16); seconds < time.Now().Unix()-10 || seconds > time.Now().Unix() {
		t.Errorf("epoch %d is of second %d", epoch, seconds)
	}
	mustAppend(t, j, "before any reader")
	r := mustReader(t, j, "a")
	mustAppend(t, j, "one", "two")
	var b Batch
	b.Put([]byte("k1"), []byte("v1"))
	b.Record([]byte("three"))
	b.Put([]byte("k2"), []byte("v2"))
	b.Put([]byte("k1"), []byte("other"))
	b.Delete([]byte("k2"))
	b.Put([]byte("empty"), nil)
	if err := j.Append(&b); err != nil {
		t.Fatal(err)
	}
	want := []string{"2 one", "3 two", "4 three"}
	if diff := cmp.Diff(want, readAllRecords(t, j, r)); diff != "" {
		t.Error(diff)
	}
	if err := r.Commit(3); err != nil {
		t.Fatal(err)
	}
	if err := r.Commit(2); err != nil {
		t.Fatal(err)
	}
	mustClose(t, r)
	mustClose(t, j)

	j = mustOpen(t, dir, Options{})
	defer mustClose(t, j)
	if j.Epoch() != epoch {
		t.Errorf("epoch %d became %d", epoch, j.Epoch())
	}
	if diff := cmp.Diff(map[string]string{"k1": "other", "empty": ""}, valueMap(j)); diff != "" {
		t.Error(diff)
	}
	if v, ok := j.Value([]byte("k1")); !ok || string(v) != "other" {
		t.Errorf("Value = %q, %v", v, ok)
	}
	if v, ok := j.Value([]byte("k2")); ok {
		t.Errorf("Value of a deleted key = %q", v)
	}
	r = mustReader(t, j, "a")
	defer mustClose(t, r)
	if n, size := r.Pending(); n != 2 || size <= 0 {
		t.Errorf("Pending = %d, %d", n, size)
	}
	if diff := cmp.Diff(want[1:], readAllRecords(t, j, r)); diff != "" {
		t.Error(diff)
	}
	mustAppend(t, j, "five")
	if diff := cmp.Diff([]string{"5 five"}, readAllRecords(t, j, r)); diff != "" {
		t.Error(diff)
	}
}

func TestReaderNames(t *testing.T) {
	j := mustOpen(t, t.TempDir(), Options{})
	defer mustClose(t, j)
	r := mustReader(t, j, "a")
	if _, err := j.Reader("a"); !errors.Is(err, ErrInUse) {
		t.Errorf("second Reader: %v", err)
	}
	if _, err := j.Drop("a"); !errors.Is(err, ErrInUse) {
		t.Errorf("Drop: %v", err)
	}
	for _, name := range []string{"", string(make([]byte, MaxReaderName+1))} {
		if _, err := j.Reader(name); err == nil {
			t.Errorf("Reader(%q) was accepted", name)
		}
	}
	mustAppend(t, j, "one", "two")
	if err := r.Commit(2); err == nil {
		t.Error("Commit beyond what was read was accepted")
	}
	mustClose(t, r)
	mustClose(t, r)
	mustClose(t, mustReader(t, j, "b"))
	if diff := cmp.Diff([]string{"a", "b"}, j.Readers()); diff != "" {
		t.Error(diff)
	}
	if n, err := j.Drop("a"); n != 2 || err != nil {
		t.Errorf("Drop = %d, %v", n, err)
	}
	if n, err := j.Drop("a"); n != 0 || err != nil {
		t.Errorf("second Drop = %d, %v", n, err)
	}
	if diff := cmp.Diff([]string{"b"}, j.Readers()); diff != "" {
		t.Error(diff)
	}
}

func TestMaxReaders(t *testing.T) {
	fs := newMemFS()
	j := mustOpen(t, "/j", Options{FS: fs})
	name := func(i int) string { return fmt.Sprintf("%0*d", MaxReaderName, i) }
	for i := range MaxReaders {
		mustClose(t, mustReader(t, j, name(i)))
	}
	if _, err := j.Reader("one more"); err == nil {
		t.Error("one reader too many was accepted")
	}
	mustClose(t, j)
	j = mustOpen(t, "/j", Options{FS: fs})
	defer mustClose(t, j)
	if got := len(j.Readers()); got != MaxReaders {
		t.Errorf("%d readers, want %d", got, MaxReaders)
	}
}

func TestNextWaits(t *testing.T) {
	j := mustOpen(t, "/j", Options{FS: newMemFS()})
	r := mustReader(t, j, "a")
	got := make(chan string)
	go func() {
		recs, err := r.Next(t.Context(), nil, 0)
		got <- fmt.Sprint(len(recs), err)
	}()
	mustAppend(t, j, "one")
	if s := <-got; s != "1 <nil>" {
		t.Error(s)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Next(ctx, nil, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("Next with a canceled context: %v", err)
	}
	for _, closer := range []interface{ Close() error }{r, j} {
		if closer == j {
			r = mustReader(t, j, "b")
		}
		go func() {
			_, err := r.Next(t.Context(), nil, 0)
			got <- fmt.Sprint(err)
		}()
		time.Sleep(time.Millisecond)
		mustClose(t, closer)
		if s := <-got; s != ErrClosed.Error() {
			t.Error(s)
		}
	}
}

func TestNextLimit(t *testing.T) {
	j := mustOpen(t, "/j", Options{FS: newMemFS()})
	defer mustClose(t, j)
	r := mustReader(t, j, "a")
	for range 10 {
		mustAppend(t, j, "12345", "12345", "12345")
	}
	var recs []Record
	var sizes []int
	for r.ahead.next < j.Stats().Next {
		var err error
		if recs, err = r.Next(t.Context(), recs, 20); err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, len(recs))
	}
	if diff := cmp.Diff([]int{4, 4, 4, 4, 4, 4, 4, 2}, sizes); diff != "" {
		t.Error(diff)
	}
}

func TestLargeBatches(t *testing.T) {
	j := mustOpen(t, "/j", Options{FS: newMemFS()})
	defer mustClose(t, j)
	r := mustReader(t, j, "a")
	var b Batch
	b.Record(make([]byte, MaxBatchBytes-b.Bytes()-frameHeader-frameTrailer-5))
	if b.Bytes() != MaxBatchBytes {
		t.Fatalf("Bytes = %d", b.Bytes())
	}
	if err := j.Append(&b); err != nil {
		t.Fatal(err)
	}
	b.Record(nil)
	if err := j.Append(&b); !errors.Is(err, ErrTooLarge) {
		t.Errorf("Append of too much: %v", err)
	}
	recs, err := r.Next(t.Context(), nil, 1)
	if err != nil || len(recs) != 1 || len(recs[0].Data) < MaxBatchBytes-100 {
		t.Errorf("Next: %d records, %v", len(recs), err)
	}
	b.Reset()
	if err := j.Append(&b); err != nil || b.Len() != 0 || b.Bytes() != 0 {
		t.Errorf("Append of nothing: %v", err)
	}
}

func TestFullAndTrim(t *testing.T) {
	const maxBytes = 256 << 10
	fs := newMemFS()
	opts := Options{FS: fs, MaxBytes: maxBytes, inline: true}
	j := mustOpen(t, "/j", opts)
	r := mustReader(t, j, "slow")
	quick := mustReader(t, j, "quick")
	var b Batch
	b.Record(make([]byte, 1000))
	total := 0
	for range 3 { // Fill it, empty it, and so on.
		n := 0
		for ; ; n++ {
			if err := j.Append(&b); errors.Is(err, ErrFull) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
		total += n
		if st := j.Stats(); !st.Full || st.Bytes > maxBytes || st.Bytes < maxBytes*9/10 {
			t.Fatalf("after %d appends: %+v", n, st)
		}
		var state Batch
		state.Put([]byte("full"), fmt.Append(nil, total))
		if err := j.Append(&state); err != nil {
			t.Errorf("a change of a value while full: %v", err)
		}
		for _, r := range []*Reader{quick, r} {
			if j.Stats().Segments < 3 {
				t.Fatal("trimmed before the slow reader had it")
			}
			got := len(readAllRecords(t, j, r))
			if got != n {
				t.Fatalf("read %d, want %d", got, n)
			}
			if err := r.Commit(r.ahead.next); err != nil {
				t.Fatal(err)
			}
		}
		if st := j.Stats(); st.Segments != 1 {
			t.Fatalf("after all was committed: %+v", st)
		}
	}
	next := j.Stats().Next
	mustClose(t, j)
	j = mustOpen(t, "/j", opts)
	defer mustClose(t, j)
	if j.Stats().Next != next || j.Stats().Values != 1 {
		t.Errorf("after reopening: %+v", j.Stats())
	}
	if files := fs.names("/j"); len(files) != 3 { // One segment, checkpoint, cursors; LOCK is not a file here.
		t.Errorf("files: %q", files)
	}
}

func TestDeadLetters(t *testing.T) {
	fs := newMemFS()
	opts := Options{FS: fs, MaxDeadLetterBytes: 1000}
	j := mustOpen(t, "/j", opts)
	if err := j.DeadLetters(func(DeadLetter) bool { t.Error("a dead letter"); return true }); err != nil {
		t.Error(err)
	}
	if err := j.DeadLetter("a", Record{Offset: 7, Data: []byte("x")}, "refused"); err != nil {
		t.Fatal(err)
	}
	mustClose(t, j)
	j = mustOpen(t, "/j", opts)
	defer mustClose(t, j)
	if err := j.DeadLetter("b", Record{Offset: 8}, ""); err != nil {
		t.Fatal(err)
	}
	if err := j.DeadLetter("b", Record{Data: make([]byte, 1000)}, ""); !errors.Is(err, ErrFull) {
		t.Errorf("beyond the limit: %v", err)
	}
	var got []string
	err := j.DeadLetters(func(d DeadLetter) bool {
		if since := time.Since(d.Time); since < 0 || since > time.Minute {
			t.Errorf("time %v", d.Time)
		}
		got = append(got, fmt.Sprintf("%d %s %d %s %s", d.ID, d.Reader, d.Offset, d.Reason, d.Data))
		return true
	})
	if err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"1 a 7 refused x", "2 b 8  "}, got); diff != "" {
		t.Error(diff)
	}
	if n := j.Stats().DeadLetters; n != 2 {
		t.Errorf("Stats.DeadLetters = %d", n)
	}
}

func TestLocked(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, dir, Options{})
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrLocked) {
		t.Errorf("second Open: %v", err)
	}
	r := mustReader(t, j, "a")
	mustClose(t, j)
	if err := j.Close(); !errors.Is(err, ErrClosed) {
		t.Errorf("second Close: %v", err)
	}
	var b Batch
	b.Record(nil)
	if err := j.Append(&b); !errors.Is(err, ErrClosed) {
		t.Errorf("Append after Close: %v", err)
	}
	if err := r.Commit(1); !errors.Is(err, ErrClosed) {
		t.Errorf("Commit after Close: %v", err)
	}
	if _, err := r.Next(t.Context(), nil, 0); !errors.Is(err, ErrClosed) {
		t.Errorf("Next after Close: %v", err)
	}
	if _, err := j.Reader("b"); !errors.Is(err, ErrClosed) {
		t.Errorf("Reader after Close: %v", err)
	}
	if _, err := j.Drop("a"); !errors.Is(err, ErrClosed) {
		t.Errorf("Drop after Close: %v", err)
	}
	if err := j.DeadLetter("a", Record{}, ""); !errors.Is(err, ErrClosed) {
		t.Errorf("DeadLetter after Close: %v", err)
	}
	if err := j.DeadLetters(func(DeadLetter) bool { return true }); !errors.Is(err, ErrClosed) {
		t.Errorf("DeadLetters after Close: %v", err)
	}
	mustClose(t, mustOpen(t, dir, Options{}))
}

// TestBeginRecord: a record that is written into the batch is the one that Record copies.
func TestBeginRecord(t *testing.T) {
	var copied, written Batch
	for _, text := range []string{"one", "", "three"} {
		copied.Record([]byte(text))
		written.EndRecord(append(written.BeginRecord(), text...))
	}
	copied.Put([]byte("k"), []byte("v"))
	written.Put([]byte("k"), []byte("v"))
	if diff := cmp.Diff(copied.buf, written.buf); diff != "" || written.Len() != 3 {
		t.Errorf("%d records (-copied +written)\n%s", written.Len(), diff)
	}
}
