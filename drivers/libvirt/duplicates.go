package libvirt

import (
	"time"

	"github.com/virtcast/virtcast/schema"
)

// settle is how long both the new and the old callbacks are kept while they change over.
const settle = 200 * time.Millisecond

// duplicates drops the second of two equal observations while two callbacks of the
// session cover the same domain. That happens only while Watch changes from one callback
// of all domains to one for each domain, or back: new callbacks are registered before old
// ones are ended, so that nothing is lost, and in between the daemon sends each event
// once for each callback.
//
// Nothing in an event tells its duplicate, but the daemon dispatches event by event: the
// duplicates follow each other directly. So an observation is a duplicate if it equals
// the one directly before it in everything but the callback. After a duplicate the
// comparison starts again: of two equal events that both came twice, two remain,
// whichever callback comes first.
//
// An event that came shortly before the new callback was made has no duplicate. An equal
// event that comes directly after the old callback has ended would be taken for its
// duplicate. Hence forget, which is called between the two moments, some time after the
// new callback was made.
//
// Session.mu guards it.
type duplicates struct {
	armed   bool
	source  callback
	last    schema.Observation
	arrived time.Time
}

// drop reports whether o, which came by a callback, is a duplicate of what came before
// it.
func (d *duplicates) drop(source callback, o *schema.Observation) bool {
	if d.armed && source != d.source && sameEvent(o, &d.last) {
		d.armed = false
		return true
	}
	d.source, d.last, d.arrived, d.armed = source, *o, time.Now(), true
	return false
}

// sameEvent reports whether two observations may be of one event: whether they agree in
// all that an event carries.
func sameEvent(a, b *schema.Observation) bool {
	return a.Kind == b.Kind && a.Object == b.Object && a.Event == b.Event && a.Detail == b.Detail &&
		a.Payload == b.Payload && a.Occurred.Equal(b.Occurred)
}

// expectDuplicates starts the comparison.
func (s *Session) expectDuplicates() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.duplicates = new(duplicates)
}

// forgetDuplicates forgets the last observation if it arrived before a time.
func (s *Session) forgetDuplicates(before time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.duplicates.arrived.Before(before) {
		s.duplicates.armed = false
	}
}

// endDuplicates ends the comparison.
func (s *Session) endDuplicates() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.duplicates = nil
}
