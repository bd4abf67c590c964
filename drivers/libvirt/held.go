package libvirt

import (
	"fmt"
	"log/slog"

	"github.com/virtcast/virtcast/drivers"
	"github.com/virtcast/virtcast/drivers/libvirt/wire"
	"github.com/virtcast/virtcast/schema"
)

// heldItem is an event that waits for the answer to a registration, or an event or a
// listing behind one that does.
type heldItem struct {
	source      callback
	observation schema.Observation
	listing     *schema.Listing
}

// onEvent decodes an event, and appends it to the batch if its callback is known. If it
// may belong to a registration that is not answered yet, it is held, and all that follows
// too, so that the order of the wire stays.
func (s *Session) onEvent(h wire.Header, payload []byte) error {
	row, ok := eventRows[h.Procedure]
	if !ok || h.Version != wire.ProgramVersion {
		s.skipUnknown(h)
		return nil
	}
	o := s.grow()
	id, err := s.decoder.decode(row, payload, o)
	if err != nil {
		s.shrink()
		s.skip(&s.count.undecodable, "event does not decode",
			slog.String("kind", row.kind.String()), slog.Any("error", err))
		return nil
	}
	source := callbackOf(row.kind.Family(), id)
	o.Kind = row.kind
	o.Received = s.conn.at
	s.mu.Lock()
	o.Connection = s.connection
	owner := s.ownerLocked(source, row.kind)
	hold := len(s.held) > 0 || owner == ownerPending
	duplicate := !hold && owner == ownerLive && s.duplicates != nil && s.duplicates.drop(source, o)
	s.mu.Unlock()
	switch {
	case hold:
		err = s.hold(heldItem{source: source, observation: *o}, o.Size())
		s.shrink()
	case owner == ownerNone:
		s.shrink()
		s.count.stale.Add(1)
	case duplicate:
		s.shrink()
		s.count.duplicates.Add(1)
	}
	return err
}

// grow appends a zero observation to the batch, which is never full, and returns it.
func (s *Session) grow() *schema.Observation {
	s.batch = append(s.batch, schema.Observation{})
	return &s.batch[len(s.batch)-1]
}

// shrink takes the last observation off the batch.
func (s *Session) shrink() { s.batch = s.batch[:len(s.batch)-1] }

// hold keeps an item of some bytes back until drainHeld can tell what becomes of it.
func (s *Session) hold(item heldItem, size int) error {
	if s.heldBytes+size > s.heldLimit {
		return fmt.Errorf("%w: %d events", ErrOverflow, len(s.held)+1)
	}
	s.heldBytes += size
	s.held = append(s.held, item)
	return nil
}

// drainHeld delivers held items, in order, as far as it is known what becomes of them.
func (s *Session) drainHeld() {
	for len(s.held) > 0 {
		head := &s.held[0]
		if head.listing != nil {
			s.flush()
			s.out(drivers.Batch{Listing: head.listing})
			s.held = s.held[1:]
			continue
		}
		s.mu.Lock()
		owner := s.ownerLocked(head.source, head.observation.Kind)
		duplicate := owner == ownerLive && s.duplicates != nil && s.duplicates.drop(head.source, &head.observation)
		s.mu.Unlock()
		switch {
		case owner == ownerPending:
			return
		case owner == ownerNone:
			s.count.stale.Add(1)
		case duplicate:
			s.count.duplicates.Add(1)
		default:
			*s.grow() = head.observation
			if len(s.batch) == maxBatch {
				s.flush()
			}
		}
		s.held = s.held[1:]
	}
	s.held, s.heldBytes = nil, 0
}

// deliverListing delivers a listing behind all that came before it.
func (s *Session) deliverListing(l *schema.Listing) error {
	if len(s.held) == 0 {
		s.out(drivers.Batch{Listing: l})
		return nil
	}
	return s.hold(heldItem{listing: l}, l.Size())
}
