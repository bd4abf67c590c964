package journal

import (
	"bytes"
	"context"
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// TestReread reads what was read before from random places, while Next goes on and the
// log grows over many segments and is trimmed below the cursor.
func TestReread(t *testing.T) {
	fs := newMemFS()
	j, err := Open("j", Options{FS: fs, MaxBytes: 1 << 20, SegmentBytes: 4 << 10, inline: true})
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, j)
	r, err := j.Reader("r")
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	value := func(offset uint64) []byte { return binary.LittleEndian.AppendUint64(make([]byte, 40), offset) }
	offset, cursor, given := uint64(1), uint64(1), uint64(1)
	var ahead, back []Record
	for range 3000 {
		var b Batch
		for range 1 + rng.IntN(5) {
			b.Record(value(offset))
			offset++
		}
		if err := j.Append(&b); err != nil {
			t.Fatal(err)
		}
		if rng.IntN(2) == 0 {
			if ahead, err = r.Next(t.Context(), ahead, rng.IntN(2000)); err != nil {
				t.Fatal(err)
			}
			given = ahead[len(ahead)-1].Offset + 1
		}
		if r.Ready() != (given < offset) {
			t.Fatalf("Ready = %t with %d of %d read", r.Ready(), given, offset)
		}
		if given == cursor {
			continue
		}
		from := cursor + rng.Uint64N(given-cursor)
		if back, err = r.Reread(t.Context(), back, from, rng.IntN(3000)); err != nil {
			t.Fatalf("reread of %d with the cursor at %d and %d read: %v", from, cursor, given, err)
		}
		for i, rec := range back {
			want := from + uint64(i)
			if rec.Offset != want || !bytes.Equal(rec.Data, value(want)) || rec.Offset >= given {
				t.Fatalf("reread of %d, record %d: offset %d, %x; %d was read", from, i, rec.Offset, rec.Data, given)
			}
		}
		if rng.IntN(20) == 0 {
			cursor += rng.Uint64N(given - cursor)
			if err := r.Commit(cursor); err != nil {
				t.Fatal(err)
			}
		}
	}
	if j.Stats().Oldest == 1 {
		t.Error("nothing was trimmed")
	}
}

// TestRereadRefuses what may be gone, and what was not read.
func TestRereadRefuses(t *testing.T) {
	j, err := Open("j", Options{FS: newMemFS(), inline: true})
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, j)
	r, err := j.Reader("r")
	if err != nil {
		t.Fatal(err)
	}
	var b Batch
	for range 4 {
		b.Record([]byte("x"))
	}
	if err := j.Append(&b); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Reread(context.Background(), nil, 1, 0); err == nil {
		t.Error("a record that was not read was read again")
	}
	if _, err := r.Next(t.Context(), nil, 0); err != nil {
		t.Fatal(err)
	}
	if err := r.Commit(3); err != nil {
		t.Fatal(err)
	}
	for from, ok := range map[uint64]bool{2: false, 3: true, 4: true, 5: false} {
		if _, err := r.Reread(t.Context(), nil, from, 0); (err == nil) != ok {
			t.Errorf("Reread from %d: %v", from, err)
		}
	}
}
