package registry

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/virtcast/virtcast/drivers"
	"github.com/virtcast/virtcast/internal/retry"
	"github.com/virtcast/virtcast/schema"
)

// maxWatchBackoff bounds the wait before missing filters are asked for again: what is not
// observed meanwhile is lost.
const maxWatchBackoff = 15 * time.Second

// watcher keeps the wanted filters of one session in force. It belongs to the
// supervisor's goroutine.
type watcher struct {
	session    drivers.Session
	connection *connection
	// refused are the filters that the hypervisor will not send in this session.
	refused refusals
	// inForce and missing count the wanted filters that are not refused.
	inForce, missing int
	// since is the time since which something wanted is not in force; zero if all is.
	since time.Time
	wait  retry.Backoff
	// retry fires when the missing filters are to be asked for again; nil if none is.
	retry *time.Timer
}

func newWatcher(s drivers.Session, c *connection) *watcher {
	bounds := c.registry.opts.Backoff
	bounds.Max = min(bounds.Max, max(bounds.Min, maxWatchBackoff))
	return &watcher{session: s, connection: c, wait: retry.Backoff{Min: bounds.Min, Max: bounds.Max}}
}

// due returns the channel of the timer; nil if nothing is to be asked for again.
func (w *watcher) due() <-chan time.Time {
	if w.retry == nil {
		return nil
	}
	return w.retry.C
}

// stop releases the timer.
func (w *watcher) stop() {
	if w.retry != nil {
		w.retry.Stop()
	}
}

// apply makes the session's filters those that the registrations want. since is the time
// since which a filter that is missing is not observed. An error means that the session
// must be closed.
func (w *watcher) apply(ctx context.Context, since time.Time) error {
	var missing []drivers.Missing
	var want []drivers.Filter
	for again := true; again; {
		want = wanted(*w.connection.registry.list.Load(), w.connection.name, &w.refused)
		var err error
		if missing, err = w.watch(ctx, want); err != nil {
			return err
		}
		w.inForce = len(want) - len(missing)
		w.refused.succeeded(want, missing)
		missing, again = w.refuse(ctx, missing)
	}
	w.missing = len(missing)
	w.report(ctx, missing, since)
	w.connection.update(func(s *status) {
		s.filters = w.inForce
		s.refusals += uint64(len(w.refused.filters) - s.refused)
		s.refused = len(w.refused.filters)
		s.up = w.missing == 0
	})
	return nil
}

// watch calls Watch. It has a thousandth of the time of a call in addition for each
// filter.
func (w *watcher) watch(ctx context.Context, want []drivers.Filter) ([]drivers.Missing, error) {
	timeout := w.connection.registry.opts.CallTimeout
	timeout += timeout / 1000 * time.Duration(len(want))
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	missing, err := w.session.Watch(ctx, want)
	if err != nil {
		return nil, fmt.Errorf("watch: %w", err)
	}
	return missing, nil
}

// refuse takes the filters out of missing that are missing for good, and logs them once.
// again is set if others are wanted in their place.
func (w *watcher) refuse(ctx context.Context, missing []drivers.Missing) (rest []drivers.Missing, again bool) {
	refused := map[schema.Kind]int{}
	for _, m := range missing {
		if !drivers.Permanent(m.Err) {
			rest = append(rest, m)
			continue
		}
		w.refused.add(m.Filter)
		again = again || w.refused.replaceable(drivers.Filter{Kind: m.Filter.Kind}) && m.Filter.Domain.IsZero()
		if refused[m.Filter.Kind]++; refused[m.Filter.Kind] == 1 {
			w.connection.logger.WarnContext(ctx, "the hypervisor does not have a kind of event; its events are missing",
				keyKind, m.Filter.Kind.String(), keyError, m.Err)
		}
	}
	return rest, again
}

// report logs when filters begin to be missing and when all are in force again, declares
// the time between, and sets the timer of the next attempt.
func (w *watcher) report(ctx context.Context, missing []drivers.Missing, since time.Time) {
	log := w.connection.logger
	if len(missing) == 0 {
		w.retry = nil
		if w.since.IsZero() {
			return
		}
		log.InfoContext(ctx, "everything is watched again", keySince, w.since, keyFilters, w.inForce)
		w.connection.queue.declare(w.session.Connection(), w.since, time.Now().UTC())
		w.since = time.Time{}
		w.wait.Reset()
		return
	}
	level := slog.LevelDebug
	if w.since.IsZero() {
		w.since, level = since, slog.LevelWarn
	}
	delay := w.wait.Next()
	log.Log(ctx, level, "the hypervisor failed to register; events are missing until it succeeds",
		keyKind, missing[0].Filter.Kind.String(), keyMissing, len(missing), keyError, missing[0].Err)
	w.retry = time.NewTimer(delay)
}
