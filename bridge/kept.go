package bridge

import (
	"fmt"
	"hash/maphash"

	"github.com/virtcast/virtcast/bridge/journal"
)

// kept are a sink's dead letters that its cursor has not passed, since an earlier record
// had no outcome: what was refused before a restart is not presented again, and does not
// become a second dead letter. Dead letters that were retried or dropped are not in it.
type kept struct {
	seed    maphash.Seed
	records map[uint64]uint64 // hashes of the records, by offset
}

// loadKept reads the dead letters of the sink from the offset cursor on.
func loadKept(j *journal.Journal, name string, cursor uint64) (kept, error) {
	k := kept{seed: maphash.MakeSeed(), records: make(map[uint64]uint64)}
	err := j.DeadLetters(func(d journal.DeadLetter) bool {
		if d.Reader == name && d.Offset >= cursor {
			k.records[d.Offset] = maphash.Bytes(k.seed, d.Data)
		}
		return true
	})
	if err != nil {
		return kept{}, fmt.Errorf("read the dead letters: %w", err)
	}
	return k, nil
}

// has reports whether a record is a dead letter already. Records are asked for in order,
// and once each.
func (k *kept) has(r *journal.Record) bool {
	if len(k.records) == 0 {
		return false
	}
	hash, ok := k.records[r.Offset]
	delete(k.records, r.Offset)
	return ok && hash == maphash.Bytes(k.seed, r.Data)
}
