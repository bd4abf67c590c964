package libvirt

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/virtcast/virtcast/drivers/libvirt/wire"
	"github.com/virtcast/virtcast/schema"
)

// callback names a live callback: its id, and above it the family, since a network's
// and a domain's id may be equal. It is a word, for the map that every event looks it up in.
type callback uint64

func callbackOf(family schema.Family, id int32) callback {
	return callback(family)<<32 | callback(uint32(id))
}

func (c callback) id() int32 { return int32(uint32(c)) }

// RegisterAny asks the daemon for events of a kind, of every domain or, with a non-nil
// domain, of that one, which need not exist. It returns the callback's id; 0 is valid. Of one
// kind and domain at most one callback may live; the daemon refuses a second. An error that
// wraps [ErrUnsupported] says that trying again is of no use.
func (s *Session) RegisterAny(ctx context.Context, kind schema.Kind, domain *schema.UUID) (int32, error) {
	op := "register " + kind.String()
	if !decodes(kind) {
		return 0, s.fail(op, fmt.Errorf("%w: this version does not decode events of the kind %s", ErrUnsupported, kind))
	}
	var args wire.Encoder
	args.Int32(kind.EventID())
	args.Bool(domain != nil)
	if domain != nil {
		args.Domain(schema.Object{UUID: *domain, ID: -1}) // the daemon looks at the UUID only
	}
	payload, err := s.do(ctx, &pendingCall{procedure: wire.ProcDomainEventRegisterAny, registers: &kind}, args.Payload())
	if refusesKind(code(err), kind) {
		err = fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	if err != nil {
		return 0, s.fail(op, err)
	}
	d := wire.NewDecoder(payload)
	return d.Int32(), s.fail(op, d.Err())
}

// DeregisterAny ends a callback. Once it has returned nil, no observation comes from it. If the
// call ended without the daemon's answer, observations of the callback end with the batch
// that is being observed.
func (s *Session) DeregisterAny(ctx context.Context, kind schema.Kind, callbackID int32) error {
	op := "deregister " + kind.String()
	target := callbackOf(kind.Family(), callbackID)
	s.mu.Lock()
	registered, known := s.callbacks[target]
	s.mu.Unlock()
	if !known || registered != kind {
		return s.fail(op, fmt.Errorf("%w: id %d", ErrNotRegistered, callbackID))
	}
	var args wire.Encoder
	args.Int32(callbackID)
	_, err := s.do(ctx, &pendingCall{procedure: wire.ProcDomainEventDeregisterAny, deregisters: &target}, args.Payload())
	return s.fail(op, err)
}

// refusesKind reports whether a daemon's code says that it will never send events of a
// kind: its driver has no events (3), it does not know the procedure (39), or not the event
// id (1, which also stands for other failures; id 0 is as old as the call).
func refusesKind(code int32, kind schema.Kind) bool {
	switch code {
	case wire.CodeNoSupport, wire.CodeRPC:
		return true
	case wire.CodeInternalError:
		return kind.EventID() > 0
	}
	return false
}

// settleLocked applies what a reply means for the callbacks. It returns the
// callback that came to life after its caller had given up, if this is one. The
// caller holds mu.
func (s *Session) settleLocked(c *pendingCall, r *reply) (orphan *callback) {
	switch {
	case c.registers != nil:
		if !c.abandoned {
			s.registering--
		}
		if r.err != nil {
			return nil
		}
		d := wire.NewDecoder(r.payload)
		born := callbackOf(c.registers.Family(), d.Int32())
		if err := d.Err(); err != nil {
			*r = reply{err: err}
			return nil
		}
		if c.abandoned {
			return &born
		}
		s.callbacks[born] = *c.registers
	case c.deregisters != nil && r.err == nil:
		delete(s.callbacks, *c.deregisters)
	}
	return nil
}

// deregisterOrphan ends a callback that nobody waits for any more, so that its kind can be
// registered again. It takes over the slot of the registration.
func (s *Session) deregisterOrphan(orphan callback) error {
	var args wire.Encoder
	args.Int32(orphan.id())
	s.mu.Lock()
	c := &pendingCall{
		procedure: wire.ProcDomainEventDeregisterAny, abandoned: true, deregisters: &orphan,
		reply: make(chan reply, 1),
	}
	_, frame := s.enterLocked(c, args.Payload())
	s.mu.Unlock()
	select {
	case s.out <- frame:
		return nil
	default: // only a peer that answers calls that it has not read gets here
		return fmt.Errorf("more than %d frames wait to be written", maxCalls)
	}
}

// heldEvent is an event that waits for the answer to a registration, or behind one that does.
type heldEvent struct {
	callback    callback
	observation schema.Observation
}

// onEvent decodes an event, and appends it to the batch if its callback is known. If it
// may belong to a registration that is under way, it is held, and all after it too, so
// that the order of the wire stays.
func (s *Session) onEvent(h wire.Header, payload []byte) error {
	row, ok := eventRows[h.Procedure]
	if !ok || h.Version != wire.ProgramVersion {
		s.skipUnknown(h)
		return nil
	}
	o := s.grow()
	last := len(s.batch) - 1
	id, err := s.decoder.decode(row, payload, o)
	if err != nil {
		s.batch = s.batch[:last]
		s.skip(&s.count.undecodable, "event does not decode",
			slog.String("kind", row.kind.String()), slog.Any("error", err))
		return nil
	}
	source := callbackOf(row.kind.Family(), id)
	o.Kind, o.CallbackID = row.kind, id
	o.Received = s.conn.at
	s.mu.Lock()
	o.Connection = s.connection
	kind, known := s.callbacks[source]
	registering := s.registering > 0
	s.mu.Unlock()
	known = known && kind == row.kind
	switch {
	case len(s.held) > 0 || (!known && registering):
		if len(s.held) >= s.maxHeld {
			return fmt.Errorf("%w: %d events", ErrOverflow, len(s.held)+1)
		}
		s.held = append(s.held, heldEvent{source, *o})
		s.batch = s.batch[:last]
	case !known:
		s.batch = s.batch[:last]
		s.count.stale.Add(1)
	}
	return nil
}

// grow appends a zero observation to the batch, which is never full, and returns it.
func (s *Session) grow() *schema.Observation {
	if s.batch == nil {
		s.batch = make([]schema.Observation, 0, maxBatch)
	}
	s.batch = append(s.batch, schema.Observation{})
	return &s.batch[len(s.batch)-1]
}

// drainHeld moves held events to the batch, in order, as far as it is known whose they are.
func (s *Session) drainHeld() {
	for len(s.held) > 0 {
		head := &s.held[0]
		s.mu.Lock()
		kind, known := s.callbacks[head.callback]
		registering := s.registering > 0
		s.mu.Unlock()
		switch {
		case known && kind == head.observation.Kind:
			*s.grow() = head.observation
			if len(s.batch) == maxBatch {
				s.flush()
			}
		case registering:
			return
		default:
			s.count.stale.Add(1)
		}
		s.held = s.held[1:]
	}
	s.held = nil
}
