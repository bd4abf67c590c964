package bridge

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/virtcast/virtcast/internal/retry"
)

// Pauses of a failing sink are random between 0 and a ceiling, which doubles between
// these.
const (
	minPause = 100 * time.Millisecond
	maxPause = 5 * time.Second
)

// pace says when the next attempt is due. The zero value is due at once.
type pace struct {
	backoff retry.Backoff
	due     time.Time
}

func (p *pace) reset() { *p = pace{} }

// failed makes the next attempt due after a pause, which is longer with each failure.
func (p *pace) failed() {
	p.backoff.Min, p.backoff.Max = minPause, maxPause
	p.due = time.Now().Add(p.backoff.Next())
}

// health logs and counts the failures of a sink.
type health struct {
	episode *retry.Episode
	retries prometheus.Counter
	failing prometheus.Gauge
	pending func() uint64
}

func newHealth(log *slog.Logger, m *sinkMetrics, pending func() uint64) health {
	return health{
		episode: retry.NewEpisode(log, retry.Messages{
			Begin: "the sink does not take events; they stay in the journal and are tried again",
			Still: "the sink still does not take events",
			End:   "the sink takes events again",
		}),
		retries: m.retries, failing: m.failing, pending: pending,
	}
}

func (h *health) failed(ctx context.Context, err error) {
	h.retries.Inc()
	h.failing.Set(1)
	h.episode.Failed(ctx, err, logPending, h.pending())
}

func (h *health) recovered(ctx context.Context) {
	if h.episode.Recovered(ctx, logPending, h.pending()) {
		h.failing.Set(0)
	}
}
