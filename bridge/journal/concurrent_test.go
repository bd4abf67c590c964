package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// TestConcurrent has one writer, four readers, and others that look on, in a log that is
// often full.
func TestConcurrent(t *testing.T) {
	const batches, perBatch, readers = 2000, 3, 4
	dir := t.TempDir()
	opts := Options{MaxBytes: 128 << 10, CursorInterval: time.Millisecond}
	j := mustOpen(t, dir, opts)
	var g errgroup.Group
	for i := range readers {
		r := mustReader(t, j, fmt.Sprint(i))
		g.Go(func() error {
			defer mustClose(t, r)
			var recs []Record
			for next := uint64(1); next <= batches*perBatch; {
				var err error
				if recs, err = r.Next(t.Context(), recs, 1000*(i+1)); err != nil {
					return err
				}
				for _, rec := range recs {
					if got := binary.LittleEndian.Uint64(rec.Data); got != next || rec.Offset != next {
						return fmt.Errorf("record %d at offset %d, want %d", got, rec.Offset, next)
					}
					next++
				}
				if err := r.Commit(next); err != nil {
					return err
				}
				r.Pending()
			}
			return nil
		})
	}
	stop := make(chan struct{})
	var lookers errgroup.Group
	lookers.Go(func() error {
		for {
			select {
			case <-stop:
				return nil
			default:
			}
			if st := j.Stats(); st.Bytes > st.MaxBytes {
				return fmt.Errorf("too large: %+v", st)
			}
			j.Values(func(_, _ []byte) bool { return true })
			j.Value([]byte("n"))
			mustClose(t, mustReader(t, j, "visitor"))
			if _, err := j.Drop("visitor"); err != nil {
				return err
			}
			if err := j.DeadLetter("visitor", Record{Offset: 1}, "because"); err != nil {
				return err
			}
		}
	})
	g.Go(func() error {
		var b Batch
		n := uint64(0)
		for range batches {
			b.Reset()
			rec := make([]byte, 300)
			for range perBatch {
				n++
				binary.LittleEndian.PutUint64(rec, n)
				b.Record(rec)
			}
			b.Put([]byte("n"), rec[:8])
			err := j.Append(&b)
			for errors.Is(err, ErrFull) {
				time.Sleep(100 * time.Microsecond)
				err = j.Append(&b)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	close(stop)
	if err := lookers.Wait(); err != nil {
		t.Error(err)
	}
	mustClose(t, j)
	j = mustOpen(t, dir, opts)
	defer mustClose(t, j)
	if n := j.Stats().Next; n != batches*perBatch+1 {
		t.Errorf("the log ends at %d", n)
	}
	for _, name := range j.Readers() {
		if pending, err := j.Drop(name); pending != 0 || err != nil {
			t.Errorf("reader %s: %d pending, %v", name, pending, err)
		}
	}
}
