package registry

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// episode is a time in which recording fails, for one connection or many: it is logged once
// when it begins and once when the last connection's batch is recorded.
type episode struct {
	logger *slog.Logger

	// mu guards what follows.
	mu       sync.Mutex
	failing  int
	failures uint64
	began    time.Time
}

func (e *episode) begin(ctx context.Context, connection string, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.failures++
	e.failing++
	if e.failing == 1 {
		e.began = time.Now()
		e.logger.ErrorContext(ctx, "recording fails, trying again until it succeeds", keyConnection, connection, keyError, err)
	}
}

func (e *episode) again() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.failures++
}

func (e *episode) end(ctx context.Context) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.failing--
	if e.failing == 0 && ctx.Err() == nil {
		e.logger.InfoContext(ctx, "recording succeeds again", keyDuration, time.Since(e.began))
	}
}

// count returns how often Record has failed.
func (e *episode) count() uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.failures
}
