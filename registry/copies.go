package registry

import (
	"time"

	"github.com/virtcast/virtcast/schema"
)

// copyFilter drops the second copy of an event while two callbacks of a session cover the same
// domain. That is so only while wire registrations change from one callback of all domains to
// one for each domain or back: the new ones are made before the old ones are ended, so
// that nothing is lost, and in between the hypervisor sends each event once for each.
//
// The hypervisor says nothing by which the copies could be matched, but it dispatches event
// by event: the copies of an event follow each other directly. So an observation
// that is equal to the one directly before it, but came by another callback, is its
// copy. The next one after a copy starts afresh: of two equal events, both sent twice,
// two remain, whichever callback comes first.
//
// What came shortly before the new callback was made has no copy, and an equal event
// that comes directly after the old one has ended would be taken for it. Hence
// forget, which is called between the two, some time after the new callback was made.
type copyFilter struct {
	active  bool
	last    schema.Observation
	arrived time.Time
	armed   bool
}

// drop reports whether o is the second copy of what came before it.
func (f *copyFilter) drop(o *schema.Observation) bool {
	if f.armed && o.CallbackID != f.last.CallbackID && sameEvent(o, &f.last) {
		f.armed = false
		return true
	}
	f.last, f.arrived, f.armed = *o, time.Now(), true
	return false
}

// sameEvent reports whether two observations may be copies of one event.
func sameEvent(a, b *schema.Observation) bool {
	return a.Kind == b.Kind && a.Object == b.Object && a.Event == b.Event && a.Detail == b.Detail
}

// expectCopies starts the filter.
func (q *queue) expectCopies() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.copies = copyFilter{active: true}
}

// forgetCopies makes the filter forget what arrived before a time.
func (q *queue) forgetCopies(before time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.copies.arrived.Before(before) {
		q.copies.armed = false
	}
}

// endCopies stops the filter.
func (q *queue) endCopies() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.copies = copyFilter{}
}
