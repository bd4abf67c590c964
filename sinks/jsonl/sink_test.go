package jsonl_test

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/virtcast/virtcast/schema"
	"github.com/virtcast/virtcast/sinks/jsonl"
	"github.com/virtcast/virtcast/sinks/sinktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newSink(t *testing.T, path string) *jsonl.Sink {
	t.Helper()
	sink, err := jsonl.New(jsonl.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sink.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return sink
}

// readFile returns the events of the whole lines of a file, and how many lines are not
// events.
func readFile(t *testing.T, path string) (events []schema.Event, torn int) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		e, err := schema.Decode(lines.Bytes())
		if err != nil {
			torn++
			continue
		}
		events = append(events, e)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return events, torn
}

func TestConformance(t *testing.T) {
	sinktest.Run(t, sinktest.Harness{New: func(t *testing.T) sinktest.Fixture {
		path := filepath.Join(t.TempDir(), "events.jsonl")
		return sinktest.Fixture{
			Open: func(t *testing.T) sinktest.Sink { return newSink(t, path) },
			Read: func(t *testing.T) []schema.Event {
				events, torn := readFile(t, path)
				if torn > 0 {
					t.Errorf("%d lines are not events", torn)
				}
				return events
			},
			Repeats: true,
		}
	}})
}
