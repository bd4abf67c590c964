package journal_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

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
