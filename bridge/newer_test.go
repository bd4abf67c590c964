package bridge_test

import (
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/virtcast/virtcast/bridge"
	"github.com/virtcast/virtcast/bridge/journal"
	"github.com/virtcast/virtcast/schema"
)

// TestNewerRecordBehindOthers: what is before a newer record is delivered, though both
// were read at once, and also what was stuck; then the sink stops.
func TestNewerRecordBehindOthers(t *testing.T) {
	dir := t.TempDir()
	j, err := journal.Open(dir, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.Reader("k"); err != nil {
		t.Fatal(err)
	}
	var b journal.Batch
	for n := range 6 {
		e := schema.Event{Observation: observe(n%2, n).Observation, Epoch: schema.FormatEpoch(1), Sequence: uint64(n + 1), DomainSequence: 1}
		record := schema.AppendRecord(nil, &e, nil)
		if n == 4 {
			record[0] = 99
		}
		b.Record(record)
	}
	if err := errors.Join(j.Append(&b), j.Close()); err != nil {
		t.Fatal(err)
	}
	k := newKeyed()
	k.set(domainIs(0))
	var log logBuffer
	registry := prometheus.NewRegistry()
	r := start(t, dir, journal.Options{}, bridge.Options{Registerer: registry, Logger: log.logger()}, map[string]bridge.Sink{"k": k})
	k.settled(t, 2)
	k.set(func(*schema.Event) bool { return false })
	k.settled(t, 4)
	log.await(t, "install that version again")
	if got := values(t, registry); got["virtcast_sink_delivered_total"] != 4 || got["virtcast_sink_pending"] != 2 || got["virtcast_sink_failing"] != 1 {
		t.Errorf("delivered %v, pending %v, failing %v; want 4, 2, 1", got["virtcast_sink_delivered_total"],
			got["virtcast_sink_pending"], got["virtcast_sink_failing"])
	}
	begin := time.Now()
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("the end took %v: it waited for a sink that has stopped", took)
	}
}
