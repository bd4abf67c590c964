package libvirttest

import (
	"github.com/virtcast/virtcast/drivers/libvirt/wire"
	"github.com/virtcast/virtcast/schema"
)

// emitLifecycle queues a lifecycle event for every registration that matches. Called with
// s.mu held.
func (s *Server) emitLifecycle(d schema.Object, event, detail int32) {
	e := wire.NewEncoder(s.fields[:0])
	e.Domain(d)
	e.Int32(event)
	e.Int32(detail)
	s.fields = e.Payload()
	s.emit(0, wire.ProcDomainEventLifecycle, d.UUID, s.fields)
}

// emit queues an event for every registration that matches, in the order in which they
// were made on each connection, as the drivers do. Called with s.mu held.
func (s *Server) emit(eventID, procedure int32, domain schema.UUID, fields []byte) {
	for _, c := range s.clients {
		for i := range c.registrations {
			if r := &c.registrations[i]; r.matches(eventID, domain) {
				c.queueEvent(procedure, r.id, fields)
			}
		}
	}
}

// EmitEvent sends an event of any kind: to every registration for eventID that covers the
// domain, a message of the given procedure with the callback id and the fields behind it
// (XDR).
func (s *Server) EmitEvent(eventID, procedure int32, domain schema.UUID, fields []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.emit(eventID, procedure, domain, fields)
}

// register adds a callback and returns its id. Ids come from one counter for all clients
// and are never used again.
func (c *Client) register(eventID int32, filter *schema.UUID) (int32, *wire.RemoteError) {
	s := c.server
	if eventID < 0 || eventID >= s.opts.EventIDs {
		return 0, internalError(fromRPC, "unsupported event ID %d", eventID)
	}
	r := registration{id: s.nextCallback, eventID: eventID}
	if filter != nil {
		r.filtered, r.domain = true, *filter
	}
	for _, other := range c.registrations {
		if other.eventID == r.eventID && other.filtered == r.filtered && other.domain == r.domain {
			return 0, remoteError(wire.CodeInvalidArg, fromNone, "invalid argument: %s", "event callback already tracked")
		}
	}
	s.nextCallback++
	c.registrations = append(c.registrations, r)
	s.changed.Broadcast()
	return r.id, nil
}

// deregister removes a callback of this client.
func (c *Client) deregister(id int32) *wire.RemoteError {
	for i, r := range c.registrations {
		if r.id == id {
			c.registrations = append(c.registrations[:i], c.registrations[i+1:]...)
			return nil
		}
	}
	return internalError(fromRPC, "domain event callback %d not registered", id)
}
