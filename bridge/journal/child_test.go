package journal

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/virtcast/virtcast/e2e/command"
)

// childDir is set in the environment of a test binary that shall be a child.
const childDir = "VIRTCAST_JOURNAL_CHILD"

// childMain is the child's main: it appends for ever, and prints the number of each batch
// that is durable. It returns false in the parent.
func childMain() bool {
	dir := os.Getenv(childDir)
	if dir == "" {
		return false
	}
	if err := child(dir); err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	return true
}

func child(dir string) error {
	j, err := Open(dir, Options{MaxBytes: 4 << 20, SegmentBytes: 256 << 10, CursorInterval: time.Millisecond})
	if err != nil {
		return err
	}
	r, err := j.Reader("r")
	if err != nil {
		return err
	}
	fmt.Println("open")
	failed := make(chan error, 1)
	go func() { failed <- childRead(r) }()
	n := uint64(0)
	if last, ok := j.Value([]byte("n")); ok {
		n = binary.LittleEndian.Uint64(last)
	}
	var b Batch
	for {
		n++
		fillChildBatch(&b, n)
		err := j.Append(&b)
		for errors.Is(err, ErrFull) {
			time.Sleep(time.Millisecond)
			err = j.Append(&b)
		}
		if err != nil {
			return err
		}
		fmt.Println(n)
		select {
		case err := <-failed:
			return err
		default:
		}
	}
}

// childBatch is how many records batch n has.
func childBatch(n uint64) int { return int(n%7) * int(n%5) }

func fillChildBatch(b *Batch, n uint64) {
	b.Reset()
	rec := make([]byte, 600)
	binary.LittleEndian.PutUint64(rec, n)
	for range childBatch(n) {
		b.Record(rec)
	}
	b.Put([]byte("n"), rec[:8])
}

// childRead checks the order of what it reads and commits it.
func childRead(r *Reader) error {
	order := childOrder{}
	var recs []Record
	for {
		var err error
		if recs, err = r.Next(context.Background(), recs, 64<<10); err != nil {
			return err
		}
		for _, rec := range recs {
			if err := order.check(rec); err != nil {
				return err
			}
		}
		if err := r.Commit(recs[len(recs)-1].Offset + 1); err != nil {
			return err
		}
	}
}

// childOrder checks that records are consecutive, in whole batches except for the first.
type childOrder struct {
	offset, n uint64
	left      int
}

func (o *childOrder) check(rec Record) error {
	n := binary.LittleEndian.Uint64(rec.Data)
	if o.offset != 0 && rec.Offset != o.offset+1 {
		return fmt.Errorf("offset %d after %d", rec.Offset, o.offset)
	}
	if o.offset != 0 && n != o.n {
		want := o.n + 1
		for childBatch(want) == 0 {
			want++
		}
		if n != want || o.left != 0 {
			return fmt.Errorf("batch %d after %d, %d records missing", n, o.n, o.left)
		}
		o.left = childBatch(n)
	}
	if o.offset == 0 {
		o.left = childBatch(n) // At most.
	}
	o.offset, o.n = rec.Offset, n
	o.left--
	return nil
}

// startChild starts a child and returns its output once it has opened the journal.
func startChild(t *testing.T, dir string) (*command.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := command.New(t.Context(), time.Minute, os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "open" {
		t.Fatalf("the child said %q", lines.Text())
	}
	return cmd, lines
}

func TestKill(t *testing.T) {
	dir := t.TempDir()
	acked := uint64(0)
	for life := range 20 {
		cmd, lines := startChild(t, dir)
		timer := time.AfterFunc(time.Duration(5+rand.IntN(100))*time.Millisecond, func() {
			if err := cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
		})
		for lines.Scan() {
			n, err := strconv.ParseUint(lines.Text(), 10, 64)
			if err != nil {
				t.Fatalf("the child said %q", lines.Text())
			}
			acked = n
		}
		timer.Stop()
		if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Fatalf("the child ended with %v", err)
		}
		acked = checkKilled(t, dir, life, acked)
	}
	if acked < 100 {
		t.Errorf("only %d batches in all", acked)
	}
}

// checkKilled opens the journal of a killed child. acked is the last batch that the child
// acknowledged; the next batch may be durable too, if the child was killed before it
// could acknowledge that. checkKilled returns the last durable batch, from which the next
// child goes on.
func checkKilled(t *testing.T, dir string, life int, acked uint64) uint64 {
	t.Helper()
	j := mustOpen(t, dir, Options{})
	defer mustClose(t, j)
	state, _ := j.Value([]byte("n"))
	durable := binary.LittleEndian.Uint64(append(state, make([]byte, 8)...))
	last := durable
	if last != acked && last != acked+1 {
		t.Fatalf("life %d: the state is of batch %d, acknowledged was %d", life, last, acked)
	}
	r := mustReader(t, j, "r")
	defer mustClose(t, r)
	order := childOrder{}
	for r.ahead.next < j.Stats().Next {
		recs, err := r.Next(t.Context(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range recs {
			if err := order.check(rec); err != nil {
				t.Fatalf("life %d: %v", life, err)
			}
		}
	}
	for childBatch(last) == 0 && last > 0 {
		last--
	}
	if order.offset != 0 && (order.n != last || order.left > 0 && order.offset != uint64(childBatch(last))) {
		t.Fatalf("life %d: the last record is of batch %d with %d missing, want %d", life, order.n, order.left, last)
	}
	return durable
}

func TestLockedByAnotherProcess(t *testing.T) {
	dir := t.TempDir()
	cmd, lines := startChild(t, dir)
	_, err := Open(dir, Options{})
	if want := fmt.Sprintf("in use by process %d", cmd.Process.Pid); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), want) {
		t.Errorf("Open: %v, want %q", err, want)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the child ended by itself")
	}
	mustClose(t, mustOpen(t, dir, Options{}))
}
