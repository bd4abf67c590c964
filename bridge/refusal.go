package bridge

import (
	"context"
	"fmt"
	"hash/maphash"
	"time"

	"github.com/virtcast/virtcast/bridge/journal"
	"github.com/virtcast/virtcast/internal/retry"
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

// buryRefused makes dead letters of what the sink can never take. It blocks until they
// are durable, or ctx ends.
func (p *pump) buryRefused(ctx context.Context) (err error) {
	for i := range p.round.entries {
		switch en := &p.round.entries[i]; {
		case en.result != refused:
		case en.offset == 0:
			// There is no record to keep; the domain's next event has its state again.
			p.log.ErrorContext(ctx, "a domain's state cannot be stored", logDomain, p.round.events[i].Object.UUID, logError, en.reason)
		case err != nil:
			en.result = open // It is still to be settled.
		default:
			if err = p.bury(ctx, journal.Record{Offset: en.offset, Data: en.data}, en.reason); err != nil {
				en.result = open
			}
		}
	}
	return err
}

// bury keeps a record that can never be delivered. It retries a failing disk until ctx
// ends, whose error it then returns: nothing is delivered meanwhile, and the cursor does
// not pass the record, before it is safe.
func (p *pump) bury(ctx context.Context, r journal.Record, reason error) error {
	var pause pace
	for {
		err := p.journal.DeadLetter(p.name, r, reason.Error())
		if err == nil {
			break
		}
		p.health.failed(ctx, fmt.Errorf("keep a dead letter: %w", err))
		pause.failed()
		if err := retry.Sleep(ctx, time.Until(pause.due)); err != nil {
			return err
		}
	}
	p.metrics.buried()
	p.log.ErrorContext(ctx, "an event cannot be delivered; it is kept as a dead letter",
		logOffset, r.Offset, logError, reason)
	return nil
}
