package bridge

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/virtcast/virtcast/bridge/journal"
	"github.com/virtcast/virtcast/schema"
)

// ErrNoSink is returned when a dead letter is of a sink that no longer exists.
var ErrNoSink = errors.New("no such sink")

// ErrOldState is returned when a dead letter is a domain's state, which a newer one may
// have replaced since.
var ErrOldState = errors.New("it is a domain's state as it was: restart virtcast to store every domain's state again, and drop the dead letter")

// Retry puts dead letters at the end of the journal, each for its own sink alone, and
// then removes the dead letters. It blocks until that is durable; the sinks get the
// events after what is pending, so out of their domains' order, with their old ids and
// sequences. It returns how many were put back before an error. Where the process ends in
// between, or the removal fails, a dead letter is kept although its event is delivered.
//
// The error is [journal.ErrNoDeadLetter], [ErrNoSink], [ErrOldState] or
// [schema.ErrRecord] for a dead letter that cannot be retried, and nothing is done then;
// [ErrClosed]; or the journal's.
func (b *Bridge) Retry(ctx context.Context, ids []uint64) (n int, err error) {
	closed := b.commits.do(ctx, func() {
		n, err = RetryDeadLetters(b.journal, ids)
		b.metrics.retried.Add(float64(n))
	})
	return n, errors.Join(closed, err)
}

// RetryDeadLetters is [Bridge.Retry] for a journal without a bridge.
func RetryDeadLetters(j *journal.Journal, ids []uint64) (n int, err error) {
	repeats, err := repeatsOf(j, ids)
	if err != nil {
		return 0, err
	}
	var batch journal.Batch
	var group []uint64
	for i, r := range repeats {
		batch.Record(r.record)
		group = append(group, r.id)
		if batch.Bytes() < maxGroupBytes && i+1 < len(repeats) {
			continue
		}
		if err := j.Append(&batch); err != nil {
			return n, fmt.Errorf("put %d dead letters back: %w", len(group), err)
		}
		n += len(group)
		if err := j.RemoveDeadLetters(group); err != nil {
			return n, err
		}
		batch.Reset()
		group = group[:0]
	}
	return n, nil
}

// repeat is the record that a dead letter becomes.
type repeat struct {
	id     uint64
	record []byte
}

// repeatsOf returns the repeats of the dead letters, in the order of ids.
func repeatsOf(j *journal.Journal, ids []uint64) ([]repeat, error) {
	found := make(map[uint64][]byte, len(ids))
	wanted := make(map[uint64]bool, len(ids))
	for _, id := range ids {
		wanted[id] = true
	}
	sinks := make(map[string]bool)
	for _, name := range j.Readers() {
		sinks[name] = true
	}
	var problem error
	err := j.DeadLetters(func(d journal.DeadLetter) bool {
		if wanted[d.ID] {
			found[d.ID], problem = repeatOf(&d, sinks)
		}
		return problem == nil
	})
	if err := errors.Join(err, problem); err != nil {
		return nil, err
	}
	repeats := make([]repeat, 0, len(ids))
	for _, id := range ids {
		record, ok := found[id]
		if !ok {
			return nil, fmt.Errorf("%w: %d", journal.ErrNoDeadLetter, id)
		}
		if wanted[id] { // once, however often it is named
			repeats = append(repeats, repeat{id, record})
			wanted[id] = false
		}
	}
	return repeats, nil
}

func repeatOf(d *journal.DeadLetter, sinks map[string]bool) ([]byte, error) {
	if !sinks[d.Reader] {
		return nil, fmt.Errorf("dead letter %d: %w as %s is configured", d.ID, ErrNoSink, d.Reader)
	}
	if strings.HasSuffix(d.Reader, stateSuffix) {
		return nil, fmt.Errorf("dead letter %d: %w", d.ID, ErrOldState)
	}
	e, _, err := schema.ParseRecord(d.Data, nil)
	if err != nil {
		return nil, fmt.Errorf("dead letter %d: %w", d.ID, err)
	}
	return schema.AppendRepeat(nil, &e, d.Reader), nil
}
