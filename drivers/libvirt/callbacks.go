package libvirt

import (
	"fmt"

	"github.com/virtcast/virtcast/drivers/libvirt/wire"
	"github.com/virtcast/virtcast/schema"
)

// callback names a live callback: its id, and above it the family, since the ids of a
// network's and of a domain's callback may be equal. It is a word, for the map in which
// each event looks it up.
type callback uint64

func callbackOf(family schema.Family, id int32) callback {
	return callback(family)<<32 | callback(uint32(id))
}

func (c callback) id() int32 { return int32(uint32(c)) }

// maxFormer bounds the ended callbacks that a session remembers.
const maxFormer = 1024

// settleLocked applies what a reply means for the callbacks. It returns the callback that
// came to life after its caller had given up, if this is one. The caller holds mu.
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
		s.silenceLocked(*c.deregisters)
	}
	return nil
}

// silenceLocked makes the reader drop what a callback still brings. It remembers the
// callback, so that its events do not wait for the answer to a later registration. The
// caller holds mu.
func (s *Session) silenceLocked(ended callback) {
	delete(s.callbacks, ended)
	if s.former == nil || len(s.former) >= maxFormer {
		s.former = make(map[callback]struct{})
	}
	s.former[ended] = struct{}{}
}

// deregisterOrphan ends a callback that nobody waits for any more, so that its filter can
// be registered again. It takes over the slot of the registration.
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
	case s.outgoing <- frame:
		return nil
	default: // only a peer that answers calls that it has not read gets here
		return fmt.Errorf("more than %d frames wait to be written", maxCalls)
	}
}

// owner says what is known of an event's callback.
type owner int

const (
	// ownerNone: the callback is gone.
	ownerNone owner = iota
	// ownerLive: the callback is registered for events of this kind.
	ownerLive
	// ownerPending: the event may belong to a registration that is not answered yet.
	ownerPending
)

// ownerLocked returns what is known of the callback that an event came by. The caller
// holds mu.
func (s *Session) ownerLocked(source callback, kind schema.Kind) owner {
	if registered, known := s.callbacks[source]; known && registered == kind {
		return ownerLive
	}
	if s.registering == 0 {
		return ownerNone
	}
	if _, over := s.former[source]; over {
		return ownerNone
	}
	return ownerPending
}
