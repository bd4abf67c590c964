package journal

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

const (
	benchRecord  = 600
	benchDomains = 10_000
	benchState   = 150
)

// report gives events per second, how long one batch took, and the processor's time per
// event.
func report(b *testing.B, batch int, took []time.Duration, cpu time.Duration) {
	b.Helper()
	b.ReportMetric(float64(cpu.Nanoseconds())/float64(len(took)*batch)/1000, "cpu-µs/event")
	slices.Sort(took)
	b.ReportMetric(float64(len(took)*batch)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkAppend appends batches of 600-byte records, without and with the value of one
// of 10,000 domains for each, while a reader follows and commits. Raw is the measure: a
// bare write and fdatasync of the same bytes to files of 64 MiB.
func BenchmarkAppend(b *testing.B) {
	for _, batch := range []int{1, 64, 1024} {
		b.Run(fmt.Sprintf("raw/batch=%d", batch), func(b *testing.B) { benchRaw(b, batch) })
		b.Run(fmt.Sprintf("journal/batch=%d", batch), func(b *testing.B) { benchJournal(b, batch, false) })
		b.Run(fmt.Sprintf("values/batch=%d", batch), func(b *testing.B) { benchJournal(b, batch, true) })
	}
}

func benchRaw(b *testing.B, batch int) {
	dir := b.TempDir()
	p := make([]byte, batch*benchRecord)
	var f File
	var at int64
	var took []time.Duration
	cpu := cpuTime()
	for n := 0; b.Loop(); n++ {
		start := time.Now()
		if f == nil || at > DefaultSegmentBytes {
			if f != nil {
				mustClose(b, f)
			}
			var err error
			name := filepath.Join(dir, fmt.Sprint(n%2))
			if f, err = (osFS{}).OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC); err != nil {
				b.Fatal(err)
			}
			at = 0
		}
		if _, err := f.WriteAt(p, at); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
		at += int64(len(p))
		took = append(took, time.Since(start))
	}
	report(b, batch, took, cpuTime()-cpu)
	if f != nil {
		mustClose(b, f)
	}
}

func benchJournal(b *testing.B, batch int, withStates bool) {
	j := mustOpen(b, b.TempDir(), Options{})
	r := mustReader(b, j, "r")
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() {
		var recs []Record
		for {
			var err error
			if recs, err = r.Next(ctx, recs, 0); err != nil {
				ended <- err
				return
			}
			if err := r.Commit(recs[len(recs)-1].Offset + 1); err != nil {
				ended <- err
				return
			}
		}
	}()
	rec, key, value := make([]byte, benchRecord), make([]byte, 16), make([]byte, benchState)
	rnd := rand.New(rand.NewPCG(1, 2))
	var bt Batch
	var took []time.Duration
	cpu := cpuTime()
	for b.Loop() {
		start := time.Now()
		bt.Reset()
		for range batch {
			bt.Record(rec)
			if withStates {
				binary.LittleEndian.PutUint64(key, uint64(rnd.IntN(benchDomains)))
				bt.Put(key, value)
			}
		}
		if err := j.Append(&bt); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
	}
	report(b, batch, took, cpuTime()-cpu)
	cancel()
	<-ended
	mustClose(b, r)
	mustClose(b, j)
}

// BenchmarkNext reads a log that is in the page cache.
func BenchmarkNext(b *testing.B) {
	j := mustOpen(b, b.TempDir(), Options{})
	r := mustReader(b, j, "r")
	var bt Batch
	for range 64 {
		bt.Record(make([]byte, benchRecord))
	}
	const frames = 1000
	for range frames {
		if err := j.Append(&bt); err != nil {
			b.Fatal(err)
		}
	}
	var recs []Record
	n := 0
	for b.Loop() {
		if r.ahead.next >= j.Stats().Next {
			r.ahead.release()
			r.ahead.next = 1
		}
		var err error
		if recs, err = r.Next(b.Context(), recs, 0); err != nil {
			b.Fatal(err)
		}
		n += len(recs)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
	mustClose(b, r)
	mustClose(b, j)
}

// BenchmarkOpen opens a journal with a million records pending that was killed, so that
// the redo is as long as it gets.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	j := mustOpen(b, dir, Options{})
	mustClose(b, mustReader(b, j, "r"))
	var bt Batch
	for range 1000 {
		bt.Record(make([]byte, benchRecord))
		bt.Put(binary.LittleEndian.AppendUint64(nil, uint64(rand.IntN(benchDomains))), make([]byte, benchState))
	}
	for range 1000 {
		if err := j.Append(&bt); err != nil {
			b.Fatal(err)
		}
	}
	mustClose(b, j.lock) // As a kill would; what is open is left alone.
	j.lock = nopCloser{}
	for b.Loop() {
		again := mustOpen(b, dir, Options{})
		b.StopTimer()
		if st := again.Stats(); st.Next != 1_000_001 {
			b.Fatalf("%+v", st)
		}
		close(again.done) // No checkpoint: the next one has the same to do.
		<-again.ended
		mustRelease(b, again)
		b.StartTimer()
	}
	close(j.done)
	<-j.ended
	mustRelease(b, j)
}

type nopCloser struct{}

func (nopCloser) Close() error { return nil }

func mustRelease(b *testing.B, j *Journal) {
	b.Helper()
	if err := j.release(); err != nil {
		b.Fatal(err)
	}
}
