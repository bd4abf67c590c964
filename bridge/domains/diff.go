package domains

import (
	"bytes"
	"slices"
	"time"

	"github.com/virtcast/virtcast/schema"
)

// Diff compares a listing with what is known of its source, and returns synthetic events
// that tell the differences: lifecycle observations that, when they are applied in this
// order, make the book agree with the listing. It changes nothing. Two equal books give
// the same events for the same listing.
//
// Where a listing is not complete, nothing is concluded from what it does not have. What
// was merely not known, and reasons that differ in the same state, make no event:
// [Book.Learn] takes them in.
func (b *Book) Diff(l *schema.Listing) []schema.Observation {
	s := b.Source(l.Connection.Source)
	d := differ{listing: l, since: s.since}
	listed := make(map[schema.UUID]bool, len(l.Domains))
	for i := range l.Domains {
		domain := &l.Domains[i]
		if listed[domain.UUID] || domain.Family != schema.FamilyDomain {
			continue
		}
		listed[domain.UUID] = true
		k := s.known(domain.UUID)
		d.compare(&k, domain)
	}
	if !l.Complete {
		return d.found
	}
	var missing []schema.UUID
	for uuid := range s.domains {
		if !listed[uuid] {
			missing = append(missing, uuid)
		}
	}
	slices.SortFunc(missing, func(a, b schema.UUID) int { return bytes.Compare(a[:], b[:]) })
	for _, uuid := range missing {
		if known := s.domains[uuid]; known.presence != absent {
			k := s.known(uuid)
			d.missing(&k, schema.Object{UUID: uuid, Name: known.name, ID: -1})
		}
	}
	return d.found
}

// Learn takes in what a listing tells without an event, as part of the batch in hand: the
// persistence and the reasons that are not known, or known wrongly. It is called when the
// events of [Book.Diff] are applied. A complete listing makes the source one that was
// observed. sequence is as for [Book.Overtaken]. Learn changes limit domains at most; it
// reports whether that was all, and goes on with the next call otherwise.
func (b *Book) Learn(l *schema.Listing, sequence uint64, limit int) (done bool) {
	s := b.Source(l.Connection.Source)
	for i := range l.Domains {
		domain := &l.Domains[i]
		d := s.domains[domain.UUID]
		if d == nil || domain.Family != schema.FamilyDomain || d.observed > sequence {
			continue
		}
		k := d.knowledge
		if d.last <= s.missed {
			k.giveUpUnsure()
		}
		if p := persistenceOf(domain); p != persistenceUnknown {
			k.persistence = p
		}
		if k.code == codeOf(domain.State) && domain.Reason != 0 && domain.State != stateBlocked {
			k.reason = domain.Reason
		}
		if k == d.knowledge {
			continue
		}
		if limit <= 0 {
			return false
		}
		limit--
		b.touch(d)
		d.knowledge = k
	}
	if l.Complete && s.missed <= sequence {
		b.touchSource(s)
		s.watch = watch{}
	}
	return true
}

// Overtaken reports whether what a listing tells of a domain is out of date: sequence is
// the number of the source's last event before the listing, and the domain has had a
// lifecycle event since that no listing led to.
func (b *Book) Overtaken(l *schema.Listing, sequence uint64, domain schema.UUID) bool {
	d := b.Source(l.Connection.Source).domains[domain]
	return d != nil && d.observed > sequence
}

// view is a copy of what is known of a domain, without what may be out of date.
type view struct {
	knowledge
	id   int32
	sure bool // see context
}

func (s *Source) known(uuid schema.UUID) view {
	d := s.domains[uuid]
	if d == nil {
		return view{knowledge: nothing, id: -1}
	}
	v := view{knowledge: d.knowledge, id: d.id, sure: d.last > s.missed}
	if !v.sure {
		v.giveUpUnsure()
	}
	return v
}

// differ collects the events of one listing.
type differ struct {
	listing *schema.Listing
	since   time.Time
	found   []schema.Observation
}

// tell adds an event, and applies it to the copy of what is known.
func (d *differ) tell(k *view, o schema.Object, event, detail int32) {
	ruleOf(event, detail)(&k.knowledge, context{id: o.ID, sure: k.sure})
	k.sure = true
	d.found = append(d.found, schema.Observation{
		Connection: d.listing.Connection, Kind: schema.KindLifecycle, Object: o,
		Event: event, Detail: detail, Received: d.listing.Received,
		Synthetic: true, UnobservedSince: d.since,
	})
}

// compare adds the events that lead from what is known of a domain to what is listed.
func (d *differ) compare(k *view, l *schema.ListedDomain) {
	isNew := k.presence == unseen || k.presence == absent
	off := l.Object
	off.ID = -1
	switch p := persistenceOf(l); {
	case p == persistent && (isNew || k.persistence == notPersistent):
		at := off
		if k.isHere() || isNew {
			at.ID = l.ID
		}
		if k.isHere() && !isActive(l) {
			at.ID = k.id // It was defined while it ran.
		}
		d.tell(k, at, eventDefined, 0)
	case p == notPersistent && k.persistence == persistent:
		at := off
		if k.isHere() {
			at.ID = l.ID
		}
		d.tell(k, at, eventUndefined, 0)
	}
	want := codeOf(l.State)
	row := rowOf(want)
	if row == nil || k.agreesWith(want, isActive(l)) {
		return
	}
	if row.first != nil && (isNew || !k.isHere()) {
		d.tell(k, l.Object, eventStarted, row.first(l.Reason))
	}
	if k.agreesWith(want, isActive(l)) {
		return
	}
	at := l.Object
	if row.event == eventStopped {
		at = off
	}
	event, detail := row.event, row.detail(l.Reason)
	if want == schema.StateRunning && k.code == schema.StatePMSuspended {
		event, detail = eventStarted, detailStartedWakeup
	}
	d.tell(k, at, event, detail)
}

// missing adds the events that lead from what is known of a domain to its being gone.
func (d *differ) missing(k *view, o schema.Object) {
	switch {
	case k.presence == superseded: // It has become active elsewhere.
		d.tell(k, o, eventStopped, detailStoppedMigrated)
	case k.isHere():
		d.tell(k, o, eventStopped, detailUnknown)
	}
	if k.presence != absent {
		d.tell(k, o, eventUndefined, 0)
	}
}

// agreesWith reports whether a listed state adds nothing to what is known.
func (k *knowledge) agreesWith(code int32, isActive bool) bool {
	return k.code == code && k.isHere() == isActive && (isActive || k.presence == inactive)
}
