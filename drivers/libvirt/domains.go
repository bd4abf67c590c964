package libvirt

import (
	"context"
	"sync"

	"github.com/virtcast/virtcast/drivers/libvirt/wire"
	"github.com/virtcast/virtcast/schema"
)

// Domains lists every domain, running or not, with its state and reason: in one call where the
// driver has all-domain-stats (qemu, test, vz), else with one call for the list and one
// for each domain. A domain that goes away meanwhile is left out.
func (s *Session) Domains(ctx context.Context) ([]schema.ListedDomain, error) {
	const op = "list domains"
	if !s.noBulkStats.Load() {
		domains, unknown, err := s.domainStats(ctx)
		switch {
		case err == nil:
			missing, err := s.states(ctx, unknown)
			return append(domains, missing...), s.fail(op, err)
		case code(err) == wire.CodeNoSupport, code(err) == wire.CodeRPC, code(err) == wire.CodeInvalidArg:
			s.noBulkStats.Store(true) // the driver, the procedure or the flag does not exist there
		default:
			return nil, s.fail(op, err)
		}
	}
	listed, err := s.listDomains(ctx)
	if err != nil {
		return nil, s.fail(op, err)
	}
	domains, err := s.states(ctx, listed)
	return domains, s.fail(op, err)
}

// domainStats asks for the states of all domains at once. Domains whose state the
// answer leaves out (busy ones may) are returned as unknown.
func (s *Session) domainStats(ctx context.Context) (domains []schema.ListedDomain, unknown []schema.Object, err error) {
	var args wire.Encoder
	args.Uint32(0) // no domains named: all
	args.Uint32(wire.StatsState)
	args.Uint32(wire.StatsNoWait)
	payload, err := s.call(ctx, wire.ProcConnectGetAllDomainStats, args.Payload())
	if err != nil {
		return nil, nil, err
	}
	d := wire.NewDecoder(payload)
	n := d.Count(wire.MaxStatsRecords, 4+16+4+4)
	domains = make([]schema.ListedDomain, 0, min(n, wire.MaxDomainList))
	for range n {
		entry := schema.ListedDomain{Object: d.Domain()}
		stated := false
		for range d.Count(wire.MaxTypedParams, 12) {
			p := d.TypedParam()
			switch p.Field {
			case wire.FieldState:
				entry.State, stated = int32(p.Int), true
			case wire.FieldReason:
				entry.Reason = int32(p.Int)
			}
		}
		if d.Err() != nil {
			return nil, nil, d.Err()
		}
		if stated {
			domains = append(domains, entry)
		} else {
			unknown = append(unknown, entry.Object)
		}
	}
	return domains, unknown, d.Err()
}

func (s *Session) listDomains(ctx context.Context) ([]schema.Object, error) {
	var args wire.Encoder
	args.Int32(1)  // need_results: the domains, not their number
	args.Uint32(0) // every kind of domain
	payload, err := s.call(ctx, wire.ProcConnectListAllDomains, args.Payload())
	if err != nil {
		return nil, err
	}
	d := wire.NewDecoder(payload)
	domains := make([]schema.Object, d.Count(wire.MaxDomainList, 4+16+4))
	for i := range domains {
		domains[i] = d.Domain()
	}
	return domains, d.Err()
}

// states asks for the state of each domain, in the order given, with at most
// maxCalls in flight. Domains that no longer exist are left out.
func (s *Session) states(ctx context.Context, domains []schema.Object) ([]schema.ListedDomain, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	states := make([]schema.ListedDomain, len(domains))
	exists := make([]bool, len(domains))
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(maxCalls, len(domains)) {
		workers.Go(func() {
			for i := range next {
				var err error
				if states[i], exists[i], err = s.state(ctx, domains[i]); err != nil {
					cancel(err)
				}
			}
		})
	}
	for i := range domains {
		if ctx.Err() != nil {
			break
		}
		next <- i
	}
	close(next)
	workers.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	kept := states[:0]
	for i, state := range states {
		if exists[i] {
			kept = append(kept, state)
		}
	}
	return kept, nil
}

func (s *Session) state(ctx context.Context, domain schema.Object) (state schema.ListedDomain, exists bool, err error) {
	var args wire.Encoder
	args.Domain(domain)
	args.Uint32(0)
	payload, err := s.call(ctx, wire.ProcDomainGetState, args.Payload())
	if code(err) == wire.CodeNoDomain {
		return state, false, nil
	}
	if err != nil {
		return state, false, err
	}
	d := wire.NewDecoder(payload)
	state = schema.ListedDomain{Object: domain, State: d.Int32(), Reason: d.Int32()}
	return state, true, d.Err()
}
