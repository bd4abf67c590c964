package drivertest_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/virtcast/virtcast"
	"github.com/virtcast/virtcast/bridge"
	"github.com/virtcast/virtcast/bridge/journal"
	"github.com/virtcast/virtcast/drivers/drivertest"
	"github.com/virtcast/virtcast/e2e/command"
	"github.com/virtcast/virtcast/registry"
	"github.com/virtcast/virtcast/schema"
	"github.com/virtcast/virtcast/sinks/jsonl"
)

// crashDir is set in the environment of a test binary that is to be a child.
const crashDir = "VIRTCAST_HISTORY_CRASH"

func crashHistory(dir string) *drivertest.History {
	return &drivertest.History{Path: filepath.Join(dir, "history"), Name: "history"}
}

func crashEvents(dir string) string { return filepath.Join(dir, "events") }

// watched is the domain that the child watches. The events of the others move the
// position without being recorded.
var watched = schema.UUID{1}

// crashChild watches the history, from its beginning, until ctx ends: registry, bridge,
// journal and a sink.
func crashChild(ctx context.Context, dir string) error {
	j, err := journal.Open(filepath.Join(dir, "journal"), journal.Options{})
	if err != nil {
		return err
	}
	b, err := bridge.New(j, bridge.Options{})
	if err != nil {
		return err
	}
	sink, err := jsonl.New(jsonl.Config{Path: crashEvents(dir)})
	if err != nil {
		return err
	}
	r := registry.New(registry.Options{
		Record: b.Record,
		Position: func(connection string) schema.Position {
			if p := b.Position(connection); p != nil {
				return p
			}
			return schema.Position("0")
		},
	})
	_, err = r.RegisterAny(registry.Registration{Kinds: []schema.Kind{schema.KindLifecycle}, Domain: &watched})
	err = errors.Join(err, b.AddSink("file", sink), r.AddConnection(registry.Connection{Name: "history", Driver: crashHistory(dir)}))
	if err != nil {
		return err
	}
	fmt.Println("running")
	return errors.Join(virtcast.Run(ctx, r, b), sink.Close(), j.Close())
}

// TestHistoryResumesAfterKills kills a program again and again while it watches a
// hypervisor with a history: every event of the watched domain is published under exactly
// one sequence number, in order, without a gap. A kill loses nothing, repeats nothing,
// and declares nothing as lost. Only the sink may get an event again, with the id that it
// had.
func TestHistoryResumesAfterKills(t *testing.T) {
	kills := 60
	if testing.Short() {
		kills = 10
	}
	dir := t.TempDir()
	hypervisor := crashHistory(dir)
	numbers, stop := liveHistory(t, hypervisor)
	for range kills {
		child := startCrash(t, dir)
		time.Sleep(time.Duration(rand.N(60)) * time.Millisecond)
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait() // it was killed
	}
	child := startCrash(t, dir)
	time.Sleep(200 * time.Millisecond)
	stop()
	want := *numbers
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if got, _ := readCrashEvents(t, dir); len(got) >= len(want) || time.Now().After(deadline) {
			break
		}
	}
	if err := child.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := child.Wait(); err != nil {
		t.Fatalf("the last child: %v", err)
	}
	got, again := readCrashEvents(t, dir)
	t.Logf("%d kills, %d events of the watched domain, %d of them delivered again under the same id", kills, len(want), again)
	if len(got) != len(want) || len(want) == 0 {
		t.Errorf("%d events were published, want %d", len(got), len(want))
	}
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Fatalf("sequence %d is the event %d of the history, want %d", i+1, got[i], want[i])
		}
	}
}

// liveHistory appends events until stop is called, and notes those of the watched domain.
func liveHistory(t *testing.T, h *drivertest.History) (numbers *[]int32, stop func()) {
	t.Helper()
	numbers = new([]int32)
	done := make(chan struct{})
	var living sync.WaitGroup
	living.Go(func() {
		for n := uint64(1); ; {
			var events []drivertest.HistoryEvent
			for range 1 + rand.N(200) {
				domain := schema.UUID{byte(1 + rand.N(3))}
				if n/500%2 == 1 { // at times nothing that is watched happens
					domain = schema.UUID{2}
				}
				if domain == watched {
					*numbers = append(*numbers, int32(n))
				}
				events = append(events, drivertest.HistoryEvent{Number: n, Domain: domain, Event: 2, Detail: int32(n)})
				n++
			}
			if err := h.Append(events...); err != nil {
				t.Error(err)
				return
			}
			select {
			case <-done:
				return
			case <-time.After(time.Duration(rand.N(10)) * time.Millisecond):
			}
		}
	})
	return numbers, func() {
		close(done)
		living.Wait()
	}
}

// startCrash starts a child and waits until it runs.
func startCrash(t *testing.T, dir string) *command.Cmd {
	t.Helper()
	child := command.New(t.Context(), 2*time.Minute, os.Args[0], "-test.run=^$")
	child.Env = append(os.Environ(), crashDir+"="+dir)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "running\n" {
		_ = child.Wait()
		t.Fatalf("a child says %q: %v", line, err)
	}
	return child
}

// readCrashEvents returns the numbers of the published events in order of their sequence,
// and how many were delivered again. A gap, a hole, and a sequence number that was given
// twice are faults.
func readCrashEvents(t *testing.T, dir string) (numbers []int32, again int) {
	t.Helper()
	b, err := os.ReadFile(crashEvents(dir))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	seen := map[string]int32{} // by id
	for line := range bytes.Lines(b) {
		e, err := schema.Decode(line)
		if err != nil {
			continue // A kill cut the line: the event comes again, or the hole is found.
		}
		if e.Gap != nil {
			t.Fatalf("a gap was declared: %s", line)
		}
		if number, repeated := seen[e.ID()]; repeated {
			if number != e.Detail {
				t.Fatalf("the id %s is that of the events %d and %d of the history", e.ID(), number, e.Detail)
			}
			again++
			continue
		}
		seen[e.ID()] = e.Detail
		if e.Sequence != uint64(len(numbers)+1) {
			t.Fatalf("sequence %d follows %d", e.Sequence, len(numbers))
		}
		numbers = append(numbers, e.Detail)
	}
	return numbers, again
}
