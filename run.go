package virtcast

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/virtcast/virtcast/bridge"
	"github.com/virtcast/virtcast/registry"
)

// Run watches and publishes until ctx ends. b must be where r records
// (registry.Options.Record is b.Record).
//
// When ctx ends, the registry closes its sessions first and records what they have read.
// Then the bridge delivers what is in the journal, for up to its drain timeout: stopped
// any earlier, it would refuse what the registry still has. The rest stays in the journal
// for the next start. Run returns when all goroutines of both have ended: nil, or what
// one of them failed with.
func Run(ctx context.Context, r *registry.Registry, b *bridge.Bridge) error {
	group, ctx := errgroup.WithContext(ctx)
	delivering, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group.Go(func() error { return b.Run(delivering) })
	group.Go(func() error {
		defer stop()
		return r.Run(ctx)
	})
	return group.Wait()
}
