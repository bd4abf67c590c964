package libvirt

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/virtcast/virtcast/drivers"
	"github.com/virtcast/virtcast/drivers/libvirt/wire"
	"github.com/virtcast/virtcast/schema"
)

// watching is what Watch has made of the session's callbacks: one for each filter.
type watching struct {
	// mu is held for the whole of a Watch. It is taken before Session.mu.
	mu sync.Mutex
	// live has the callback of each filter in force. dormant has the callbacks that the
	// daemon's access control does not let us end: what they bring is dropped, and they
	// are used when their filter is wanted again.
	live, dormant map[drivers.Filter]callback
}

// Watch makes the session's callbacks those of the wanted filters, with at most 4 calls
// unanswered at a time. Where a kind changes from one callback of all domains to one for
// each domain, or back, new callbacks are registered before old ones are ended, both are
// kept for a fifth of a second, and each event is delivered once.
//
// A filter is missing if the daemon answers its registration with an error. The error is
// permanent if the daemon, or this client, does not have the kind. A call without an
// answer is an error of Watch.
func (s *Session) Watch(ctx context.Context, want []drivers.Filter) ([]drivers.Missing, error) {
	w := &s.watching
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := s.gone(); err != nil {
		return nil, s.fail("watch", err)
	}
	fresh, surplus := w.difference(want)
	if !changesOver(fresh, surplus) {
		missing, err := s.register(ctx, fresh)
		if err != nil {
			return nil, err
		}
		return missing, s.deregister(ctx, replaced(missing, surplus))
	}
	return s.changeOver(ctx, fresh, surplus)
}

// gone returns an error if the session has ended.
func (s *Session) gone() error {
	select {
	case <-s.ending:
		return s.cause()
	default:
		return nil
	}
}

// difference returns the wanted filters without a callback, and those with one that are
// not wanted.
func (w *watching) difference(want []drivers.Filter) (fresh, surplus []drivers.Filter) {
	wanted := make(map[drivers.Filter]struct{}, len(want))
	for _, f := range want {
		if _, twice := wanted[f]; twice {
			continue
		}
		wanted[f] = struct{}{}
		if _, live := w.live[f]; !live {
			fresh = append(fresh, f)
		}
	}
	for f := range w.live {
		if _, ok := wanted[f]; !ok {
			surplus = append(surplus, f)
		}
	}
	return fresh, surplus
}

// changesOver reports whether a kind has callbacks to be made and others to be ended that
// cover the same domain: one of the two sides is the callback of all domains.
func changesOver(fresh, surplus []drivers.Filter) bool {
	const general, some = 1, 2
	sides := map[schema.Kind]int{}
	for _, f := range surplus {
		sides[f.Kind] |= some
		if f.Domain.IsZero() {
			sides[f.Kind] |= general
		}
	}
	for _, f := range fresh {
		if side := sides[f.Kind]; side&general != 0 || side&some != 0 && f.Domain.IsZero() {
			return true
		}
	}
	return false
}

// changeOver is Watch while some events come twice.
func (s *Session) changeOver(ctx context.Context, fresh, surplus []drivers.Filter) ([]drivers.Missing, error) {
	s.expectDuplicates()
	defer s.endDuplicates()
	missing, err := s.register(ctx, fresh)
	if err != nil {
		return nil, err
	}
	registered := time.Now()
	if err := s.pause(ctx, settle); err != nil {
		return nil, s.fail("watch", err)
	}
	s.forgetDuplicates(registered.Add(settle / 2))
	ends := replaced(missing, surplus)
	if len(ends) < len(surplus) {
		ends = append(ends, s.watching.covered(fresh, surplus, ends)...)
	}
	return missing, s.deregister(ctx, ends)
}

// pause waits for d.
func (s *Session) pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.ending:
		return s.cause()
	}
}

// replaced returns the surplus filters of whose kind nothing is missing. The others stay
// in force, since what they bring would not come otherwise.
func replaced(missing []drivers.Missing, surplus []drivers.Filter) []drivers.Filter {
	lacking := map[schema.Kind]bool{}
	for _, m := range missing {
		lacking[m.Filter.Kind] = true
	}
	var ends []drivers.Filter
	for _, f := range surplus {
		if !lacking[f.Kind] {
			ends = append(ends, f)
		}
	}
	return ends
}

// covered returns the fresh filters that a surplus filter which stays in force covers
// already: with both, each event would come twice for ever.
func (w *watching) covered(fresh, surplus, ends []drivers.Filter) []drivers.Filter {
	general := map[schema.Kind]bool{}
	for _, f := range surplus {
		general[f.Kind] = general[f.Kind] || f.Domain.IsZero()
	}
	for _, f := range ends {
		general[f.Kind] = false
	}
	var covered []drivers.Filter
	for _, f := range fresh {
		if _, live := w.live[f]; live && general[f.Kind] {
			covered = append(covered, f)
		}
	}
	return covered
}

// register makes a callback for each filter, several at a time. missing are those that
// the daemon answered with an error.
func (s *Session) register(ctx context.Context, filters []drivers.Filter) (missing []drivers.Missing, err error) {
	type outcome struct {
		callback callback
		err      error
	}
	outcomes := make([]outcome, len(filters))
	err = s.each(ctx, len(filters), func(ctx context.Context, i int) error {
		o := &outcomes[i]
		o.callback, o.err = s.registerOne(ctx, filters[i])
		if o.err != nil && !answered(o.err) {
			return o.err
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i, o := range outcomes {
		if o.err != nil {
			missing = append(missing, drivers.Missing{Filter: filters[i], Err: o.err})
			continue
		}
		if s.watching.live == nil {
			s.watching.live = make(map[drivers.Filter]callback)
		}
		s.watching.live[filters[i]] = o.callback
		delete(s.watching.dormant, filters[i])
	}
	return missing, nil
}

// each calls do for 0 to n-1, with at most maxCalls calls at a time, until one fails.
func (s *Session) each(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	switch n {
	case 0:
		return nil
	case 1:
		return do(ctx, 0)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(maxCalls, n) {
		workers.Go(func() {
			for i := range next {
				if err := do(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	for i := 0; i < n && ctx.Err() == nil; i++ {
		select {
		case next <- i:
		case <-ctx.Done():
		}
	}
	close(next)
	workers.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// answered reports whether an error is the daemon's answer to a call, or needed none.
func answered(err error) bool { return code(err) != 0 || errors.Is(err, ErrUnsupported) }

func (s *Session) registerOne(ctx context.Context, f drivers.Filter) (callback, error) {
	if dormant, ok := s.watching.dormant[f]; ok {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.former, dormant)
		s.callbacks[dormant] = f.Kind
		return dormant, nil
	}
	op := "register " + f.Kind.String()
	if !decodes(f.Kind) {
		return 0, s.fail(op, fmt.Errorf("%w: this version does not decode events of the kind %s", ErrUnsupported, f.Kind))
	}
	var args wire.Encoder
	args.Int32(f.Kind.EventID())
	args.Bool(!f.Domain.IsZero())
	if !f.Domain.IsZero() {
		args.Domain(schema.Object{UUID: f.Domain, ID: -1}) // the daemon looks at the UUID only
	}
	call := &pendingCall{procedure: wire.ProcDomainEventRegisterAny, registers: &f.Kind}
	payload, err := s.do(ctx, call, args.Payload())
	if refusesKind(code(err), f.Kind) {
		err = fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	if err != nil {
		return 0, s.fail(op, err)
	}
	d := wire.NewDecoder(payload)
	return callbackOf(f.Kind.Family(), d.Int32()), s.fail(op, d.Err())
}

// deregister ends the callbacks of filters, several at a time. Once it has returned nil,
// no observation comes from them. A callback that may not be ended becomes dormant.
func (s *Session) deregister(ctx context.Context, filters []drivers.Filter) error {
	w := &s.watching
	refused := make([]bool, len(filters))
	err := s.each(ctx, len(filters), func(ctx context.Context, i int) error {
		target := w.live[filters[i]]
		var args wire.Encoder
		args.Int32(target.id())
		call := &pendingCall{procedure: wire.ProcDomainEventDeregisterAny, deregisters: &target}
		_, err := s.do(ctx, call, args.Payload())
		if refused[i] = IsAccessDenied(err); refused[i] {
			return nil
		}
		return s.fail("deregister "+filters[i].Kind.String(), err)
	})
	if err != nil {
		return err
	}
	for i, f := range filters {
		if refused[i] {
			s.sleep(f, w.live[f])
		}
		delete(w.live, f)
	}
	return nil
}

// sleep makes a callback dormant.
func (s *Session) sleep(f drivers.Filter, c callback) {
	if s.watching.dormant == nil {
		s.watching.dormant = make(map[drivers.Filter]callback)
	}
	s.watching.dormant[f] = c
	s.mu.Lock()
	defer s.mu.Unlock()
	s.silenceLocked(c)
}

// refusesKind reports whether a daemon's code says that it will never send events of a
// kind: its driver has no events (3), it does not know the procedure (39), or not the
// event id (1, which also stands for other failures; id 0 is as old as the call).
func refusesKind(code int32, kind schema.Kind) bool {
	switch code {
	case wire.CodeNoSupport, wire.CodeRPC:
		return true
	case wire.CodeInternalError:
		return kind.EventID() > 0
	}
	return false
}
