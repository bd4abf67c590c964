package libvirt

import (
	"context"

	"github.com/virtcast/virtcast/drivers/libvirt/wire"
	"github.com/virtcast/virtcast/schema"
)

// List asks for every domain, running or not, with its state and reason. A daemon whose
// driver has all-domain-stats (qemu, test, vz) answers with one complete listing. Another
// daemon answers with one complete listing without states, and then with one listing of
// each domain, since each answer has a place of its own in the stream. A domain whose
// state the first answer leaves out, such as a busy one, comes in a listing of its own
// too.
//
// A listing is complete as far as the daemon tells. Domains that its access control hides
// from this user are left out, and it does not tell that it left them out.
//
// List returns when the daemon has answered. While a registration is not answered,
// listings wait behind the events that may belong to it, and may come shortly after List
// returned.
func (s *Session) List(ctx context.Context) error {
	const op = "list domains"
	if err := s.gone(); err != nil {
		return s.fail(op, err)
	}
	if !s.noBulkStats.Load() {
		unknown, err := s.listStats(ctx)
		switch code(err) {
		case wire.CodeNoSupport, wire.CodeRPC, wire.CodeInvalidArg:
			s.noBulkStats.Store(true) // the driver, the procedure or the flag does not exist there
		default:
			if err == nil {
				err = s.listStates(ctx, unknown)
			}
			return s.fail(op, err)
		}
	}
	unknown, err := s.listAll(ctx)
	if err == nil {
		err = s.listStates(ctx, unknown)
	}
	return s.fail(op, err)
}

// list makes a call whose reply is a listing, which read decodes in the reader's
// goroutine.
func (s *Session) list(ctx context.Context, procedure int32, args []byte, complete bool, read func(*wire.Decoder) []schema.ListedDomain) error {
	call := &pendingCall{procedure: procedure, lists: func(d *wire.Decoder) ([]schema.ListedDomain, bool) {
		return read(d), complete
	}}
	_, err := s.do(ctx, call, args)
	return err
}

// listingOf decodes the reply to a call that lists.
func (s *Session) listingOf(c *pendingCall, payload []byte) (*schema.Listing, reply) {
	d := wire.NewDecoder(payload)
	domains, complete := c.lists(&d)
	if err := d.Err(); err != nil {
		return nil, reply{err: err}
	}
	return &schema.Listing{Connection: s.connection, Received: s.conn.at, Complete: complete, Domains: domains}, reply{}
}

// listStats lists all domains with their states at once. It returns those whose state the
// answer leaves out.
func (s *Session) listStats(ctx context.Context) (unknown []schema.Object, err error) {
	var args wire.Encoder
	args.Uint32(0) // no domains named: all
	args.Uint32(wire.StatsState)
	args.Uint32(wire.StatsNoWait)
	err = s.list(ctx, wire.ProcConnectGetAllDomainStats, args.Payload(), true, func(d *wire.Decoder) []schema.ListedDomain {
		n := d.Count(wire.MaxStatsRecords, 4+16+4+4)
		domains := make([]schema.ListedDomain, 0, n) // no more than the payload can hold
		for range n {
			listed := schema.ListedDomain{Object: s.decoder.listed(d)}
			for range d.Count(wire.MaxTypedParams, 12) {
				switch p := d.TypedParam(); p.Field {
				case wire.FieldState:
					listed.State = int32(p.Int)
				case wire.FieldReason:
					listed.Reason = int32(p.Int)
				}
			}
			if d.Err() != nil {
				return nil
			}
			if listed.State == 0 {
				unknown = append(unknown, listed.Object)
			}
			domains = append(domains, listed)
		}
		return domains
	})
	return unknown, err
}

// listAll lists all domains without their states, and returns them.
func (s *Session) listAll(ctx context.Context) (all []schema.Object, err error) {
	var args wire.Encoder
	args.Int32(1)  // need_results: the domains, not their number
	args.Uint32(0) // every kind of domain
	err = s.list(ctx, wire.ProcConnectListAllDomains, args.Payload(), true, func(d *wire.Decoder) []schema.ListedDomain {
		domains := make([]schema.ListedDomain, d.Count(wire.MaxDomainList, 4+16+4))
		all = make([]schema.Object, len(domains))
		for i := range domains {
			all[i] = s.decoder.listed(d)
			domains[i].Object = all[i]
		}
		return domains
	})
	return all, err
}

// listStates lists domains one by one, several at a time. Domains that no longer exist
// are left out.
func (s *Session) listStates(ctx context.Context, domains []schema.Object) error {
	return s.each(ctx, len(domains), func(ctx context.Context, i int) error {
		var args wire.Encoder
		args.Domain(domains[i])
		args.Uint32(0)
		err := s.list(ctx, wire.ProcDomainGetState, args.Payload(), false, func(d *wire.Decoder) []schema.ListedDomain {
			return []schema.ListedDomain{{Object: domains[i], State: d.Int32(), Reason: d.Int32()}}
		})
		if code(err) == wire.CodeNoDomain {
			return nil
		}
		return err
	})
}
