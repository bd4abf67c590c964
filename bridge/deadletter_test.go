package bridge_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/virtcast/virtcast/bridge"
	"github.com/virtcast/virtcast/bridge/journal"
	"github.com/virtcast/virtcast/schema"
	"github.com/virtcast/virtcast/sinks"
)

// newPicky returns a sink that refuses the events with one of the details for good.
func newPicky(details ...int32) *memory {
	m := newMemory()
	m.before = func(_ context.Context, events []schema.Event) (int, error) {
		for i := range events {
			if slices.Contains(details, events[i].Detail) {
				return i, sinks.Permanent(errors.New("refused"))
			}
		}
		return len(events), nil
	}
	return m
}

func letters(t *testing.T, j *journal.Journal) []uint64 {
	t.Helper()
	var ids []uint64
	if err := j.DeadLetters(func(d journal.DeadLetter) bool { ids = append(ids, d.ID); return true }); err != nil {
		t.Fatal(err)
	}
	return ids
}

// Dead letters that are retried reach their sink only, behind what it has, as the events
// that they were.
func TestRetry(t *testing.T) {
	dir := t.TempDir()
	refusing, other := newPicky(3, 7), newMemory()
	r := start(t, dir, journal.Options{}, bridge.Options{}, map[string]bridge.Sink{"refusing": refusing, "other": other})
	for n := range 10 {
		record(t, r.Bridge, observe(0, n))
	}
	refusing.await(t, 8)
	all := other.await(t, 10)
	ids := letters(t, r.journal)
	if len(ids) != 2 {
		t.Fatalf("dead letters %v, want 2", ids)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}

	cured := newMemory()
	r = start(t, dir, journal.Options{}, bridge.Options{}, map[string]bridge.Sink{"refusing": cured, "other": other})
	if n, err := r.Retry(t.Context(), []uint64{ids[1], ids[0], ids[1]}); n != 2 || err != nil {
		t.Fatalf("Retry = %d, %v, want 2", n, err)
	}
	got := cured.await(t, 2)
	if diff := cmp.Diff([]schema.Event{all[7], all[3]}, got); diff != "" {
		t.Errorf("retried (-recorded +got):\n%s", diff)
	}
	if ids := letters(t, r.journal); len(ids) != 0 {
		t.Errorf("dead letters %v are kept after they were retried", ids)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if got := other.got(); len(got) != 10 {
		t.Errorf("the other sink has %d events, want the 10 that it had", len(got))
	}
	if _, err := r.Retry(t.Context(), ids); !errors.Is(err, bridge.ErrClosed) {
		t.Errorf("Retry after the end = %v, want ErrClosed", err)
	}
}

// An event that is refused again is a dead letter again.
func TestRetryRefusedAgain(t *testing.T) {
	refusing := newPicky(1)
	r := start(t, t.TempDir(), journal.Options{}, bridge.Options{}, map[string]bridge.Sink{"refusing": refusing})
	for n := range 3 {
		record(t, r.Bridge, observe(0, n))
	}
	refusing.await(t, 2)
	ids := letters(t, r.journal)
	if _, err := r.Retry(t.Context(), ids); err != nil {
		t.Fatal(err)
	}
	record(t, r.Bridge, observe(0, 9))
	refusing.await(t, 3)
	if again := letters(t, r.journal); len(again) != 1 || again[0] <= ids[0] {
		t.Errorf("dead letters %v, want one with a number above %d", again, ids[0])
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
}

// What cannot be retried changes nothing.
func TestRetryRefusals(t *testing.T) {
	j, err := journal.Open(t.TempDir(), journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := j.Reader("bus"); err != nil {
		t.Fatal(err)
	}
	e := schema.Event{Observation: observe(0, 1).Observation, Epoch: schema.FormatEpoch(1), Sequence: 1, DomainSequence: 1}
	good := schema.AppendRecord(nil, &e, nil)
	for _, l := range []struct {
		sink string
		data []byte
	}{{"bus", good}, {"former", good}, {"bus", []byte("\x00garbage")}} {
		if err := j.DeadLetter(l.sink, journal.Record{Offset: 1, Data: l.data}, "refused"); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name string
		ids  []uint64
		err  error
		text string
	}{
		{"unknown number", []uint64{1, 4}, journal.ErrNoDeadLetter, "4"},
		{"former sink", []uint64{1, 2}, bridge.ErrNoSink, "dead letter 2: no such sink as former"},
		{"unreadable record", []uint64{3, 1}, schema.ErrRecord, "dead letter 3"},
	} {
		n, err := bridge.RetryDeadLetters(j, test.ids)
		if n != 0 || !errors.Is(err, test.err) || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: %d, %v, want %v with %q", test.name, n, err, test.err, test.text)
		}
	}
	if got := letters(t, j); len(got) != 3 || j.Stats().Records != 0 {
		t.Errorf("dead letters %v and %d records after refusals, want 3 and none", got, j.Stats().Records)
	}
	if n, err := bridge.RetryDeadLetters(j, []uint64{1}); n != 1 || err != nil {
		t.Errorf("RetryDeadLetters = %d, %v, want 1", n, err)
	}
}

// TestDeadLetterOnce: an event that was refused while an earlier one was stuck is one dead
// letter, however often the program starts before the cursor can pass it.
func TestDeadLetterOnce(t *testing.T) {
	dir := t.TempDir()
	for run := range 3 {
		k := newKeyed()
		k.stuck, k.refuses = domainIs(0), detailIs(5)
		registry := prometheus.NewRegistry()
		r := start(t, dir, journal.Options{}, bridge.Options{Registerer: registry, DrainTimeout: -1}, map[string]bridge.Sink{"k": k})
		if run == 0 {
			record(t, r.Bridge, observe(0, 2), observe(1, 5), observe(1, 6))
		}
		if got := k.settled(t, 1); got[0].Detail != 6 {
			t.Errorf("run %d: %v is stored", run, got[0])
		}
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		got := values(t, registry)
		if got["virtcast_sink_pending"] != 1 || got["virtcast_sink_dead_letters_total"]+got["virtcast_sink_skipped_total"] != 1 {
			t.Errorf("run %d: accounts %v", run, got)
		}
		if n := got["virtcast_journal_dead_letters"]; n != 1 && run > 0 {
			t.Errorf("run %d: %v dead letters, want 1", run, n)
		}
	}
}

// TestRetryIsCounted: what was put back counts as retried, though the dead letters cannot
// be removed then, so that the accounts close.
func TestRetryIsCounted(t *testing.T) {
	dir := t.TempDir()
	registry := prometheus.NewRegistry()
	r := start(t, dir, journal.Options{}, bridge.Options{Registerer: registry}, map[string]bridge.Sink{"refusing": newPicky(1)})
	record(t, r.Bridge, observe(0, 1), observe(0, 2))
	for deadline := time.Now().Add(10 * time.Second); len(letters(t, r.journal)) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("there is no dead letter")
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "deadletters.new", "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	if n, err := r.Retry(t.Context(), letters(t, r.journal)); n != 1 || err == nil {
		t.Errorf("Retry = %d, %v, want 1 and why the dead letter is kept", n, err)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	got := values(t, registry)
	if got["virtcast_recorded_total"]+got["virtcast_retried_total"] != got["virtcast_sink_delivered_total"]+got["virtcast_sink_dead_letters_total"]+got["virtcast_sink_pending"] {
		t.Errorf("accounts %v", got)
	}
}
