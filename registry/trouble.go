package registry

import (
	"context"
	"log/slog"
	"sync"

	"github.com/virtcast/virtcast/internal/retry"
)

// trouble is a time in which recording fails, for one connection or many: it begins with
// the first failure, and ends when the last connection's batch is recorded.
type trouble struct {
	episode *retry.Episode

	// mu guards failing, the number of connections whose batch is not recorded.
	mu      sync.Mutex
	failing int
}

func newTrouble(log *slog.Logger) *trouble {
	return &trouble{episode: retry.NewEpisode(log, retry.Messages{
		Begin: "recording fails, trying again until it succeeds",
		Still: "recording still fails; observations wait, and are lost when the queues are full",
		End:   "recording succeeds again",
		Level: slog.LevelError,
	})}
}

// begin notes that a connection's batch was not recorded.
func (t *trouble) begin(ctx context.Context, connection string, err error) {
	t.mu.Lock()
	t.failing++
	t.mu.Unlock()
	t.again(ctx, connection, err)
}

// again notes that the batch was not recorded the next time either.
func (t *trouble) again(ctx context.Context, connection string, err error) {
	t.episode.Failed(ctx, err, keyConnection, connection)
}

// end notes that the batch was recorded, or that ctx ended.
func (t *trouble) end(ctx context.Context) {
	t.mu.Lock()
	t.failing--
	last := t.failing == 0
	t.mu.Unlock()
	if last && ctx.Err() == nil {
		t.episode.Recovered(ctx)
	}
}
