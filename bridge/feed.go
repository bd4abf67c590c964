package bridge

import (
	"context"
	"fmt"

	"github.com/virtcast/virtcast/bridge/journal"
	"github.com/virtcast/virtcast/schema"
)

// maxReread bounds the records that are read again at once.
const maxReread = 1 << 20

// feed reads the journal's records for one sink.
type feed struct {
	// routed is the name that registrations know the sink by.
	routed   string
	reader   *journal.Reader
	interner *schema.Interner
	// states is set where the sink keeps states instead of events.
	states  *stateFeed
	records []journal.Record // the new ones
	swept   []journal.Record // those read again
	read    uint64           // offset after the last new record
}

// next returns the next new records. They are valid until the following call.
func (f *feed) next(ctx context.Context, maxBytes int) ([]journal.Record, error) {
	records, err := f.reader.Next(ctx, f.records[:0], maxBytes)
	if err != nil {
		return nil, readError(err)
	}
	f.records = records
	return records, nil
}

// event makes e the event of a new record. mine is false where it is not for the sink.
func (f *feed) event(r *journal.Record, e *schema.Event) (mine bool, err error) {
	*e, mine, err = schema.ReadRecord(r.Data, f.routed, f.interner)
	if err == nil && mine && f.states != nil {
		mine = f.states.wants(r, e)
	}
	return mine, err
}

// sweep goes on with the backlog's sweep: it reads parked records again and adds to the
// round those that need not wait, until there are some or maxBytes were read.
func (f *feed) sweep(ctx context.Context, b *backlog, r *round, maxBytes int) error {
	restarted := false
	for size := 0; size < maxBytes && len(r.events) == 0; {
		from, ok := b.parked.next(b.at)
		if !ok {
			if restarted || b.parked.count == 0 {
				return nil
			}
			b.restartSweep()
			restarted = true
			continue
		}
		records, err := f.reader.Reread(ctx, f.swept[:0], from, maxReread)
		if err != nil {
			return readError(err)
		}
		f.swept = records
		for i := range records {
			size += len(records[i].Data)
			if err := f.sweepRecord(b, r, &records[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *feed) sweepRecord(b *backlog, r *round, record *journal.Record) error {
	b.at = record.Offset + 1
	if !b.parked.has(record.Offset) {
		return nil
	}
	e, _, err := schema.ReadRecord(record.Data, f.routed, f.interner)
	if err != nil { // It could be read when it was parked.
		return readError(fmt.Errorf("record %d: %w", record.Offset, err))
	}
	if f.states != nil {
		e = e.StateEvent()
	}
	b.sweep(r, record.Offset, record.Data, &e)
	return nil
}

func readError(err error) error { return fmt.Errorf("read the journal: %w", err) }
