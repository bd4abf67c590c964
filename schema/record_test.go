package schema

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
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
	want.Object.Family = 255
	want.Payload = strings.Repeat(`"x":1`, 5000)
	got, _, err := ParseRecord(AppendRecord(nil, &want, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
}

func TestReadRecordForASink(t *testing.T) {
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
			e, got, err := ReadRecord(AppendRecord(nil, &event, test.sinks), "bus", nil)
			if err != nil || got != test.want {
				t.Fatalf("ReadRecord = %v, %v, want %v", got, err, test.want)
			}
			want := Event{}
			if test.want {
				want = event
			}
			if diff := cmp.Diff(want, e); diff != "" {
				t.Errorf("event (-want +got):\n%s", diff)
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
	tests := map[string]struct {
		record []byte
		want   error
	}{
		"longer":                    {append(bytes.Clone(record), 0), ErrRecord},
		"version 0":                 {append([]byte{0}, record[1:]...), ErrRecord},
		"newer version":             {append([]byte{4}, record[1:]...), ErrNewerRecord},
		"unknown flag":              {append([]byte{3, 0x80}, record[2:]...), ErrNewerRecord},
		"newer version, cut short":  {[]byte{4, 0}, ErrNewerRecord},
		"no connection":             {[]byte{3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, ErrRecord},
		"unknown odd section":       {withSection(record, 0x41, "x"), ErrNewerRecord},
		"section longer than it is": {append(bytes.Clone(record[:len(record)-1]), sectionOccurred, 3, 0, 0, 0, 0), ErrRecord},
		"version 1 with a state":    {[]byte{1, oldState}, ErrRecord},
		"version 1 as a repeat":     {[]byte{1, oldRepeat}, ErrRecord},
		"version 2, unknown flag":   {[]byte{2, 0x80}, ErrRecord},
		"version 2, sinks cut":      {[]byte{2, oldSinks, 2, 1, 'a'}, ErrRecord},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if _, _, err := ParseRecord(test.record, nil); !errors.Is(err, test.want) {
				t.Errorf("ParseRecord: error %v, want %v", err, test.want)
			}
			if _, _, err := ReadRecord(test.record, "bus", nil); !errors.Is(err, test.want) {
				t.Errorf("ReadRecord: error %v, want %v", err, test.want)
			}
		})
	}
}

// withSection adds a section to a record, as a newer program might.
func withSection(record []byte, section byte, content string) []byte {
	longer := appendSection(bytes.Clone(record[:len(record)-1]), section, []byte(content))
	return append(longer, sectionEnd)
}

// A reader passes over a section of an even type that it does not know.
func TestRecordWithAnUnknownSection(t *testing.T) {
	want := lifecycleEvent(2, 0)
	record := withSection(AppendRecord(nil, &want, []string{"bus"}), 0x40, "something new")
	got, sinks, err := ParseRecord(record, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"bus"}, sinks); diff != "" {
		t.Errorf("sinks (-want +got):\n%s", diff)
	}
}

// Records of version 2 are still read, and those of version 1, which differ from them in
// the first byte and have neither states nor repeats. testdata/records-v2.txt has what a
// program of that time wrote.
func TestOldRecords(t *testing.T) {
	events := map[string]Event{}
	for _, sample := range testEvents() {
		events[sample.name] = sample.event
	}
	for line := range strings.Lines(string(testFile(t, "testdata/records-v2.txt"))) {
		var name, form, digits string
		if _, err := fmt.Sscan(line, &name, &form, &digits); err != nil {
			t.Fatal(err)
		}
		record, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatal(err)
		}
		want := events[name]
		wantSinks := map[string][]string{"two": {"bus", "screen"}, "repeat": {"bus"}}[form]
		versions := []byte{recordV2}
		if form != "repeat" && !want.State.Valid {
			versions = append(versions, recordV1)
		}
		for _, record[0] = range versions {
			t.Run(fmt.Sprintf("%s/%s/version %d", name, form, record[0]), func(t *testing.T) {
				got, sinks, err := ParseRecord(record, NewInterner(0))
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("event (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(wantSinks, sinks); diff != "" {
					t.Errorf("sinks (-want +got):\n%s", diff)
				}
				if repeat := RecordIsRepeat(record); repeat != (form == "repeat") {
					t.Errorf("RecordIsRepeat = %v", repeat)
				}
				for n := range record {
					if _, _, err := ParseRecord(record[:n], nil); !errors.Is(err, ErrRecord) {
						t.Errorf("first %d of %d bytes: error %v, want ErrRecord", n, len(record), err)
					}
				}
			})
		}
	}
}

func testFile(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
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
		mine, goes, goesErr := ReadRecord(b, sink, NewInterner(0))
		if err != nil {
			if !errors.Is(err, ErrRecord) && !errors.Is(err, ErrNewerRecord) {
				t.Fatalf("error %v is neither ErrRecord nor ErrNewerRecord", err)
			}
			return
		}
		want := sinks == nil
		for _, s := range sinks {
			want = want || s == sink
		}
		if goesErr != nil || goes != want {
			t.Fatalf("ReadRecord = %v, %v, want %v", goes, goesErr, want)
		}
		if diff := cmp.Diff(event, mine); goes && diff != "" {
			t.Fatalf("event (-ParseRecord +ReadRecord):\n%s", diff)
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
