package service

import (
	"context"
	"errors"
	"log/slog"

	"github.com/virtcast/virtcast/bridge"
	"github.com/virtcast/virtcast/bridge/journal"
	"github.com/virtcast/virtcast/internal/config"
)

// DeadLetters are the dead letters of a data directory, whether a virtcast uses it or
// not.
type DeadLetters struct{ config *config.Config }

// DeadLettersOf returns the dead letters of a configuration's data directory. Nothing
// else of the configuration matters, but for the journal's bound.
func DeadLettersOf(c *config.Config) DeadLetters { return DeadLetters{c} }

// Each calls do for each dead letter, oldest first, until do returns an error, and
// returns that. It fails with [journal.ErrNoJournal] for a directory without a journal.
func (d DeadLetters) Each(do func(journal.DeadLetter) error) error {
	var stopped error
	err := journal.ReadDeadLetters(journalDir(d.config), func(l journal.DeadLetter) bool {
		stopped = do(l)
		return stopped == nil
	})
	return errors.Join(err, stopped)
}

// Retry puts dead letters back to be delivered again, each to its own sink, and returns
// how many: all of them, or none and an error.
func (d DeadLetters) Retry(ctx context.Context, ids []uint64) (int, error) {
	return d.change(ctx, actionRetry, ids, bridge.RetryDeadLetters)
}

// Drop forgets dead letters, and returns how many: all of them, or none and an error.
func (d DeadLetters) Drop(ctx context.Context, ids []uint64) (int, error) {
	return d.change(ctx, actionDrop, ids, drop)
}

// change has an order carried out by the virtcast that uses the journal, or, where none
// does, on the journal itself.
func (d DeadLetters) change(ctx context.Context, a action, ids []uint64, do func(*journal.Journal, []uint64) (int, error)) (n int, err error) {
	if len(ids) == 0 {
		return 0, nil
	}
	j, err := OpenJournal(d.config, slog.New(slog.DiscardHandler))
	if errors.Is(err, journal.ErrLocked) {
		return order(ctx, d.config.DataDir, a, ids)
	}
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	return do(j, ids)
}

func drop(j *journal.Journal, ids []uint64) (int, error) {
	if err := j.RemoveDeadLetters(ids); err != nil {
		return 0, err
	}
	return len(ids), nil
}
