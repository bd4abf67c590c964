package main

import (
	"log/slog"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virtcast/virtcast/bridge"
	"github.com/virtcast/virtcast/bridge/journal"
)

// TestFormerSinksAreDropped holds that the cursors of what is configured stay, those of the stores of states included.
func TestFormerSinksAreDropped(t *testing.T) {
	j, err := journal.Open(t.TempDir(), journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, name := range []string{"bus", "log", "old"} {
		for _, reader := range []string{name, bridge.StateReader(name)} {
			r, err := j.Reader(reader)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	s := &service{
		log: slog.New(slog.DiscardHandler), journal: j,
		sinks: []namedSink{{name: "bus"}, {name: "log"}}, states: []namedSink{{name: "bus"}},
	}
	if err := s.dropFormerSinks(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"bus", "bus.state", "log"}, j.Readers()); diff != "" {
		t.Errorf("cursors (-want +got)\n%s", diff)
	}
}
