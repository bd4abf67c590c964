package bridge_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/virtcast/virtcast/bridge"
	"github.com/virtcast/virtcast/bridge/journal"
	"github.com/virtcast/virtcast/schema"
)

// TestGroupsFitTheJournal: calls of Record that each fit in the smallest journal are not
// made a group that is too large for it.
func TestGroupsFitTheJournal(t *testing.T) {
	r := start(t, t.TempDir(), journal.Options{MaxBytes: 16 << 20}, bridge.Options{}, map[string]bridge.Sink{"a": newMemory()})
	var group sync.WaitGroup
	for c := range 8 {
		group.Go(func() {
			for round := range 3 {
				batch := make([]schema.Matched, 500)
				for i := range batch {
					batch[i] = observe(0, 0)
					batch[i].Object = oneOfMany(c<<16 | round<<10 | i)
					batch[i].Object.Name = strings.Repeat("n", 1000)
				}
				for {
					err := r.Record(t.Context(), schema.MatchedBatch{Matched: batch})
					if err == nil {
						break
					}
					if !strings.Contains(err.Error(), "full") {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	group.Wait()
}
