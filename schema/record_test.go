package schema

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRecordRoundTrip(t *testing.T) {
	sinkSets := map[string][]string{
		"every sink": nil,
		"no sink":    {},
		"one sink":   {"bus"},
		"two sinks":  {"bus", "screen"},
	}
	for _, sample := range testEvents() {
		for name, sinks := range sinkSets {
			t.Run(sample.name+"/"+name, func(t *testing.T) {
				record := AppendRecord(nil, &sample.event, sinks)
				for _, in := range []*Interner{nil, NewInterner(0)} {
					got, gotSinks, err := ParseRecord(record, in)
					if err != nil {
						t.Fatal(err)
					}
					if diff := cmp.Diff(sample.event, got); diff != "" {
						t.Errorf("event (-want +got):\n%s", diff)
					}
					if diff := cmp.Diff(sinks, gotSinks); diff != "" {
						t.Errorf("sinks (-want +got):\n%s", diff)
					}
				}
			})
		}
	}
}

func TestRecordExtremes(t *testing.T) {
	want := lifecycleEvent(math.MinInt32, math.MaxInt32)
	want.Received = time.Unix(math.MaxInt32*1000, 999_999_999).UTC()
	want.Sequence, want.DomainSequence = math.MaxUint64, math.MaxUint64
	want.Object.ID = math.MinInt32
	want.Object.Name = strings.Repeat("\x00\xff", 5000)
	want.Kind = KindOf(255, 0xffffff)
	got, _, err := ParseRecord(AppendRecord(nil, &want, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
}

func TestRecordGoesTo(t *testing.T) {
	event := lifecycleEvent(2, 0)
	tests := []struct {
		name  string
		sinks []string
		want  bool
	}{
		{"every sink", nil, true},
		{"none", []string{}, false},
		{"first", []string{"bus", "screen"}, true},
		{"last", []string{"screen", "bus"}, true},
		{"other", []string{"screen"}, false},
		{"only a prefix", []string{"bu", "bus2"}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := RecordGoesTo(AppendRecord(nil, &event, test.sinks), "bus")
			if err != nil || got != test.want {
				t.Errorf("RecordGoesTo = %v, %v, want %v", got, err, test.want)
			}
		})
	}
}

func TestRecordDamaged(t *testing.T) {
	event := gapEvent()
	record := AppendRecord(nil, &event, []string{"bus"})
	for n := range record {
		if _, _, err := ParseRecord(record[:n], nil); !errors.Is(err, ErrRecord) {
			t.Errorf("first %d of %d bytes: error %v, want ErrRecord", n, len(record), err)
		}
	}
	tests := map[string][]byte{
		"longer":        append(bytes.Clone(record), 0),
		"newer version": append([]byte{3}, record[1:]...),
		"unknown flag":  append([]byte{2, 0x80}, record[2:]...),
	}
	for name, b := range tests {
		if _, _, err := ParseRecord(b, nil); !errors.Is(err, ErrRecord) {
			t.Errorf("%s: error %v, want ErrRecord", name, err)
		}
	}
	for _, b := range [][]byte{nil, {1}, {3, 0}, {1, 0x80}, {2, 0x80}, {1, recordState}, {2, recordSinks, 2, 1, 'a'}} {
		if _, err := RecordGoesTo(b, "a"); !errors.Is(err, ErrRecord) {
			t.Errorf("RecordGoesTo(% x): error %v, want ErrRecord", b, err)
		}
	}
}

// TestRecordSize holds the size that AppendRecord's comment gives.
func TestRecordSize(t *testing.T) {
	event := lifecycleEvent(2, 0)
	if n := len(AppendRecord(nil, &event, nil)); n > 150 {
		t.Errorf("a lifecycle record has %d bytes, want 150 at most", n)
	}
}

func TestParseRecordShares(t *testing.T) {
	event := lifecycleEvent(2, 0)
	record := AppendRecord(nil, &event, []string{"bus", "screen"})
	in := NewInterner(0)
	first, _, err := ParseRecord(record, in)
	if err != nil {
		t.Fatal(err)
	}
	allocs := testing.AllocsPerRun(100, func() {
		e, _, err := ParseRecord(record, in)
		if err != nil || e.Connection != first.Connection {
			t.Fatalf("connection %p, %v, want %p", e.Connection, err, first.Connection)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations for a record like the one before, want 0", allocs)
	}
}

func TestInternerIsBounded(t *testing.T) {
	in := NewInterner(10)
	event := lifecycleEvent(2, 0)
	for i := range 100 {
		event.Object.Name = strings.Repeat("x", i)
		connection := *event.Connection
		connection.Name += "x"
		event.Connection = &connection
		got, _, err := ParseRecord(AppendRecord(nil, &event, []string{event.Object.Name}), in)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(event, got); diff != "" {
			t.Fatalf("event (-want +got):\n%s", diff)
		}
	}
	if len(in.texts) > 10 || len(in.sets) > 10 || len(in.connections) > 10 {
		t.Errorf("remembers %d texts, %d sets, %d connections, want 10 at most",
			len(in.texts), len(in.sets), len(in.connections))
	}
}

func FuzzRecord(f *testing.F) {
	for _, sample := range testEvents() {
		f.Add(AppendRecord(nil, &sample.event, nil), "bus")
		f.Add(AppendRecord(nil, &sample.event, []string{"bus", "screen"}), "screen")
		f.Add(AppendRepeat(nil, &sample.event, "screen"), "screen")
	}
	f.Fuzz(func(t *testing.T, b []byte, sink string) {
		event, sinks, err := ParseRecord(b, nil)
		goes, goesErr := RecordGoesTo(b, sink)
		if err != nil {
			if !errors.Is(err, ErrRecord) {
				t.Fatalf("error %v is no ErrRecord", err)
			}
			return
		}
		want := sinks == nil
		for _, s := range sinks {
			want = want || s == sink
		}
		if goesErr != nil || goes != want {
			t.Fatalf("RecordGoesTo = %v, %v, want %v", goes, goesErr, want)
		}
		again, sinksAgain, err := ParseRecord(AppendRecord(nil, &event, sinks), NewInterner(0))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(event, again); diff != "" {
			t.Fatalf("event (-first +second):\n%s", diff)
		}
		if diff := cmp.Diff(sinks, sinksAgain); diff != "" {
			t.Fatalf("sinks (-first +second):\n%s", diff)
		}
	})
}
