package journal_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/virtcast/virtcast/bridge/journal"
)

func Example() {
	if err := example(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// 1 started
	// 2 suspended
	// vm1: paused
}

func example() (err error) {
	dir, err := os.MkdirTemp("", "journal")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	j, err := journal.Open(dir, journal.Options{})
	if err != nil {
		return err
	}
	r, err := j.Reader("screen") // Before the first Append: a new reader starts at the end.
	if err != nil {
		return err
	}

	var b journal.Batch
	b.Record([]byte("started"))
	b.Record([]byte("suspended"))
	b.Put([]byte("vm1"), []byte("paused"))
	if err := j.Append(&b); err != nil { // All three are durable, or none.
		return err
	}

	recs, err := r.Next(context.Background(), nil, 0)
	if err != nil {
		return err
	}
	for _, rec := range recs {
		fmt.Printf("%d %s\n", rec.Offset, rec.Data)
	}
	if err := r.Commit(recs[len(recs)-1].Offset + 1); err != nil {
		return err
	}
	value, _ := j.Value([]byte("vm1"))
	fmt.Printf("vm1: %s\n", value)
	if err := r.Close(); err != nil {
		return err
	}
	return j.Close()
}

// A cursor is durable: a reader of the same name goes on behind what it committed, after
// a restart too.
func ExampleJournal_Reader() {
	dir, err := os.MkdirTemp("", "journal")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory

	for run := range 2 {
		j, err := journal.Open(dir, journal.Options{})
		if err != nil {
			log.Fatal(err)
		}
		r, err := j.Reader("bus")
		if err != nil {
			log.Fatal(err)
		}
		if run == 0 {
			for _, text := range []string{"defined", "started", "stopped"} {
				var b journal.Batch
				b.Record([]byte(text))
				if err := j.Append(&b); err != nil {
					log.Fatal(err)
				}
			}
		}
		recs, err := r.Next(context.Background(), nil, 2) // 2 bytes: one record at least
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("run %d reads %s\n", run, recs[0].Data)
		if err := errors.Join(r.Commit(recs[0].Offset+1), r.Close(), j.Close()); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// run 0 reads defined
	// run 1 reads started
}

// A record that its reader can never use is kept beside the log, with the reason, until
// an operator drops it or puts it back.
func ExampleJournal_DeadLetter() {
	dir, err := os.MkdirTemp("", "journal")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	j, err := journal.Open(dir, journal.Options{})
	if err != nil {
		log.Fatal(err)
	}
	r, err := j.Reader("bus")
	if err != nil {
		log.Fatal(err)
	}
	var b journal.Batch
	b.Record([]byte("a very large event"))
	if err := j.Append(&b); err != nil {
		log.Fatal(err)
	}
	recs, err := r.Next(context.Background(), nil, 0)
	if err != nil {
		log.Fatal(err)
	}
	// Keep it first, and commit it then: a crash between the two repeats it, and loses
	// nothing.
	err = errors.Join(j.DeadLetter("bus", recs[0], "larger than the server's limit"), r.Commit(recs[0].Offset+1))
	if err := errors.Join(err, r.Close(), j.Close()); err != nil {
		log.Fatal(err)
	}

	// Any process may read them, while the journal is in use or not.
	err = journal.ReadDeadLetters(dir, func(d journal.DeadLetter) bool {
		fmt.Printf("%d of %s: %s (%s)\n", d.ID, d.Reader, d.Data, d.Reason)
		return true
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: 1 of bus: a very large event (larger than the server's limit)
}

// A full journal refuses new records until its readers have committed old ones. Nothing
// is deleted to make room.
func ExampleErrFull() {
	dir, err := os.MkdirTemp("", "journal")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	j, err := journal.Open(dir, journal.Options{MaxBytes: 64 << 10})
	if err != nil {
		log.Fatal(err)
	}
	r, err := j.Reader("bus")
	if err != nil {
		log.Fatal(err)
	}
	add := func() error {
		var b journal.Batch
		b.Record(make([]byte, 1000))
		return j.Append(&b)
	}
	for err == nil {
		err = add()
	}
	fmt.Println(err)

	recs, err := r.Next(context.Background(), nil, 1<<20)
	if err != nil {
		log.Fatal(err)
	}
	if err := r.Commit(recs[len(recs)-1].Offset + 1); err != nil {
		log.Fatal(err)
	}
	for errors.Is(add(), journal.ErrFull) { // the space is given back in the background
		time.Sleep(time.Millisecond)
	}
	fmt.Println("there is room again")
	if err := errors.Join(r.Close(), j.Close()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// journal is full
	// there is room again
}
