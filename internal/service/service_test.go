package service

import (
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virtcast/virtcast/bridge"
	"github.com/virtcast/virtcast/bridge/journal"
	"github.com/virtcast/virtcast/internal/config"
	"github.com/virtcast/virtcast/sinks/jsonl"
)

// TestFormerSinksAreDropped holds that the cursors of what is configured stay, those of
// the state stores included.
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
	s := &Service{log: slog.New(slog.DiscardHandler), journal: j, sinks: []attachedSink{
		{NamedSink: NamedSink{Name: "bus"}, store: struct{ Sink }{}}, {NamedSink: NamedSink{Name: "log"}},
	}}
	if err := s.dropFormerSinks(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"bus", "bus.state", "log"}, j.Readers()); diff != "" {
		t.Errorf("cursors (-want +got)\n%s", diff)
	}
}

// TestLookUp holds that connections and sinks are found by their names, and that a
// service that does not run can be closed.
func TestLookUp(t *testing.T) {
	file := filepath.Join(t.TempDir(), "events.jsonl")
	s, err := New(&config.Config{
		DataDir:     t.TempDir(),
		Connections: []config.Connection{{Name: "kvm01", URI: "test:///default"}, {Name: "kvm02", URI: "test:///default"}},
		Sinks:       []config.Sink{{Name: "file", JSONL: &jsonl.Config{Path: file}}},
	}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if c, found := s.Connection("kvm02"); !found || c.Connection != "kvm02" || c.Up {
		t.Errorf("connection kvm02 = %+v, %t", c, found)
	}
	if c, found := s.Connection("kvm03"); found {
		t.Errorf("connection kvm03 = %+v, want none", c)
	}
	if sink, found := s.Sink("file"); !found || sink == nil {
		t.Errorf("sink file = %v, %t", sink, found)
	}
	if sink, found := s.Sink("bus"); found {
		t.Errorf("sink bus = %v, want none", sink)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestFailedNewClosesTheJournal holds that a service that cannot be wired leaves nothing
// locked behind.
func TestFailedNewClosesTheJournal(t *testing.T) {
	c := &config.Config{DataDir: t.TempDir(), Connections: []config.Connection{{Name: "kvm01", URI: "qemu+carrier://kvm01/system"}}}
	if _, err := New(c, Options{}); err == nil || !strings.Contains(err.Error(), "connection kvm01: ") {
		t.Errorf("New = %v, want an error that names the connection", err)
	}
	j, err := OpenJournal(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
}

// TestMetricsAddressInUse holds that a port that is taken stops the service, and that the
// error names the key to change.
func TestMetricsAddressInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	s, err := New(&config.Config{
		DataDir: t.TempDir(),
		Sinks:   []config.Sink{{Name: "file", JSONL: &jsonl.Config{Path: filepath.Join(t.TempDir(), "events.jsonl")}}},
		Metrics: config.Metrics{Listen: taken.Addr().String()},
	}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = s.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "address already in use; ") || !strings.Contains(err.Error(), "metrics.listen") {
		t.Errorf("Run = %v, want an error that names metrics.listen", err)
	}
}
