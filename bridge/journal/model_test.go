package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var errInjected = errors.New("injected")

// model is what a journal must hold, by what it has acknowledged.
type model struct {
	records []string // offset 1 on
	values  map[string]string
	// open is a batch of which it is not known whether it is there: nil, or the model
	// with it.
	open      *model
	committed uint64 // everything below was committed by the reader
	hasReader bool
}

func (m *model) clone() *model {
	c := &model{committed: m.committed, hasReader: m.hasReader, values: map[string]string{}}
	c.records = append(c.records, m.records...)
	for k, v := range m.values {
		c.values[k] = v
	}
	return c
}

// workload appends to and reads from a journal, and keeps the model. Errors are expected
// when the file system fails.
type workload struct {
	j   *Journal
	r   *Reader
	m   *model
	rnd *rand.Rand
	n   int // batches tried
	// tried is what the model would be had the last batch succeeded; nil if the last step
	// was not one.
	tried *model
}

func (w *workload) open(fs *memFS, opts Options) error {
	opts.FS, opts.inline = fs, true
	j, err := Open("/j", opts)
	if err != nil {
		return err
	}
	w.j = j
	return nil
}

// step does one thing and returns its error.
func (w *workload) step() error {
	if w.r == nil {
		r, err := w.j.Reader("r")
		if err != nil {
			return err
		}
		if !w.m.hasReader {
			w.m.hasReader, w.m.committed = true, r.cur.next
		}
		w.r = r
	}
	if w.rnd.IntN(3) == 0 {
		return w.read()
	}
	return w.append()
}

func (w *workload) append() error {
	w.n++
	var b Batch
	next := w.m.clone()
	for i := range w.rnd.IntN(4) {
		rec := fmt.Sprintf("%d.%d %s", w.n, i, bytes.Repeat([]byte("x"), w.rnd.IntN(3000)))
		b.Record([]byte(rec))
		next.records = append(next.records, rec)
	}
	for range w.rnd.IntN(3) {
		key := fmt.Sprint("key", w.rnd.IntN(5))
		if w.rnd.IntN(4) == 0 {
			b.Delete([]byte(key))
			delete(next.values, key)
			continue
		}
		value := fmt.Sprint("value", w.n)
		b.Put([]byte(key), []byte(value))
		next.values[key] = value
	}
	if b.Bytes() == 0 {
		return nil
	}
	w.tried = next
	err := w.j.Append(&b)
	switch {
	case err == nil:
		w.m = next
	case errors.Is(err, ErrUncertain):
		w.m.open = next
	}
	return err
}

func (w *workload) read() error {
	if w.r.ahead.next >= w.j.Stats().Next {
		return nil
	}
	recs, err := w.r.Next(context.Background(), nil, 1+w.rnd.IntN(8000))
	if err != nil {
		return err
	}
	for _, rec := range recs {
		if got, want := string(rec.Data), w.m.records[rec.Offset-1]; got != want {
			return fmt.Errorf("wrong record %d: %.20q, want %.20q", rec.Offset, got, want)
		}
	}
	next := recs[len(recs)-1].Offset + 1
	if w.rnd.IntN(4) > 0 {
		w.m.committed = next
		return w.r.Commit(next)
	}
	return nil
}

// check compares a journal just opened with the model.
func (m *model) check(t *testing.T, j *Journal) {
	t.Helper()
	next := int(j.Stats().Next) - 1
	if m.open != nil && next == len(m.open.records) && cmp.Equal(valueMap(j), m.open.values) {
		committed, has := m.committed, m.hasReader
		*m = *m.open
		m.committed, m.hasReader = committed, has
	}
	m.open = nil
	if next != len(m.records) {
		t.Fatalf("%d records, want %d", next, len(m.records))
	}
	if diff := cmp.Diff(m.values, valueMap(j)); diff != "" {
		t.Fatal(diff)
	}
	if !m.hasReader {
		return
	}
	if len(j.Readers()) == 0 {
		t.Fatal("the reader is gone")
	}
	r := mustReader(t, j, "r")
	defer mustClose(t, r)
	if r.ahead.next > m.committed {
		t.Fatalf("the cursor is at %d, beyond the %d that was committed", r.ahead.next, m.committed)
	}
	for r.ahead.next < j.Stats().Next {
		recs, err := r.Next(t.Context(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range recs {
			if got, want := string(rec.Data), m.records[rec.Offset-1]; got != want {
				t.Fatalf("record %d is %.20q, want %.20q", rec.Offset, got, want)
			}
		}
	}
}

var smallSegments = Options{MaxBytes: 64 << 10, SegmentBytes: 12 << 10}

// runWithFault runs a fixed workload in which operations fail as fail says, ends it as
// by kill -9 or a power cut, and checks the laws. It returns the number of operations.
func runWithFault(t *testing.T, fail func(n int, op, name string) error, closeIt bool, cut *rand.Rand) int {
	t.Helper()
	fs := newMemFS()
	fs.fail = fail
	w := &workload{m: &model{values: map[string]string{}}, rnd: rand.New(rand.NewPCG(1, 2))}
	for range 5 {
		if w.j != nil {
			break
		}
		_ = w.open(fs, smallSegments)
	}
	if w.j != nil {
		for range 40 {
			w.tried = nil
			err := w.step()
			var damage *DamageError
			if errors.As(err, &damage) || err != nil && !errors.Is(err, errInjected) && !errors.Is(err, ErrFull) {
				t.Fatalf("unexpected: %v", err)
			}
		}
		if closeIt {
			_ = w.j.Close()
		}
	}
	ops := fs.ops
	left := fs.crash(cut)
	if err := w.open(left, smallSegments); err != nil {
		t.Fatalf("reopen: %v", err)
	}
	w.m.check(t, w.j)
	mustClose(t, w.j)
	if err := w.open(left.crash(nil), smallSegments); err != nil {
		t.Fatalf("reopen after a clean end: %v", err)
	}
	w.m.check(t, w.j)
	mustClose(t, w.j)
	return ops
}

func TestFailEachOperation(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		fails func(n, at int) bool
	}{
		{"once", func(n, at int) bool { return n == at }},
		{"three times", func(n, at int) bool { return n >= at && n < at+3 }},
		{"from then on", func(n, at int) bool { return n >= at }},
		{"every other one", func(n, at int) bool { return n >= at && n%2 == 0 }},
		{"mostly", func(n, at int) bool { return n >= at && n%7 != 0 }},
	} {
		for _, end := range []string{"killed", "closed", "power cut"} {
			t.Run(tc.name+", "+end, func(t *testing.T) {
				t.Parallel()
				for at, ops := 0, 1; at < ops; at++ {
					var cut *rand.Rand
					if end == "power cut" {
						cut = rand.New(rand.NewPCG(uint64(at), 3))
					}
					ran := t.Run(fmt.Sprint(at), func(t *testing.T) {
						ops = max(ops, runWithFault(t, func(n int, _, _ string) error {
							if tc.fails(n, at) {
								return errInjected
							}
							return nil
						}, end == "closed", cut))
					})
					if !ran {
						return
					}
				}
			})
		}
	}
}

// TestPowerCut cuts the power after every operation, several times each.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	type stop struct{ error }
	for seed := range uint64(3) {
		for at, done := 0, false; !done; at++ {
			fs := newMemFS()
			var left *memFS
			cut := rand.New(rand.NewPCG(seed, uint64(at)))
			fs.fail = func(n int, _, _ string) error {
				if n == at {
					fs.mu.Unlock()
					left = fs.crash(cut)
					fs.mu.Lock()
				}
				if n >= at {
					return stop{errInjected}
				}
				return nil
			}
			w := &workload{m: &model{values: map[string]string{}}, rnd: rand.New(rand.NewPCG(seed, 9))}
			err := w.open(fs, smallSegments)
			for range 50 {
				if err != nil || left != nil {
					break
				}
				w.tried = nil
				if err = w.step(); err != nil && left != nil {
					w.m.open = w.tried // It was in flight: Append has not returned.
				}
			}
			if done = left == nil; done {
				break
			}
			if err := w.open(left, smallSegments); err != nil {
				t.Fatalf("seed %d, cut at %d: %v", seed, at, err)
			}
			w.m.check(t, w.j)
			mustClose(t, w.j)
		}
	}
}

// TestManyLives lets a journal live on after each kill, power cut and clean end, with
// operations that fail at random in between.
func TestManyLives(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		fs := newMemFS()
		w := &workload{m: &model{values: map[string]string{}}, rnd: rnd}
		for life := range 25 {
			if err := w.open(fs, smallSegments); err != nil {
				t.Fatalf("seed %d, life %d: %v", seed, life, err)
			}
			w.m.check(t, w.j)
			w.r = nil
			left := (*memFS)(nil)
			end, faulty := fs.ops+rnd.IntN(200), rnd.IntN(3) == 0
			kind := rnd.IntN(3)
			fs.fail = func(n int, _, _ string) error {
				switch {
				case n == end && kind > 0:
					cut := rnd
					if kind == 1 {
						cut = nil
					}
					fs.mu.Unlock()
					left = fs.crash(cut)
					fs.mu.Lock()
				case n < end && (!faulty || rnd.IntN(10) > 0):
					return nil
				}
				return errInjected
			}
			for left == nil && fs.ops < end {
				w.tried = nil
				err := w.step()
				if err != nil && !errors.Is(err, errInjected) && !errors.Is(err, ErrFull) {
					t.Fatalf("seed %d, life %d: %v", seed, life, err)
				}
				if left != nil && err != nil && w.tried != nil {
					w.m.open = w.tried
				}
			}
			if left == nil {
				fs.fail = nil
				mustClose(t, w.j)
				w.m.open = nil
				left = fs.crash(nil)
			}
			fs = left
		}
	}
}
