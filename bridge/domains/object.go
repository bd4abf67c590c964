package domains

import (
	"time"

	"github.com/virtcast/virtcast/schema"
)

// Source is what is known of the objects of one source.
type Source struct {
	name    string
	domains map[schema.UUID]*object
	others  map[schema.ObjectKey]*object
	watch
	batch uint64 // the batch that changed watch last
}

// watch says how well a source was observed.
type watch struct {
	// missed is the source's sequence at the last time that may not have been observed.
	missed uint64
	// since is the begin of the time that was not observed; zero if that is not known, or
	// if there is none since the last complete listing.
	since time.Time
}

// find returns what is known of an object; nil if it is not known.
func (s *Source) find(o *schema.Object) *object {
	if o.Family == schema.FamilyDomain {
		return s.domains[o.UUID]
	}
	return s.others[o.Key()]
}

// object is one object at one source.
type object struct {
	entry
	source *Source
	key    schema.ObjectKey
	batch  uint64 // the batch that changed it last
	// observed is the source's sequence of the last lifecycle event since the start that
	// is not synthetic. It is not taken back with a batch: that event comes again.
	observed uint64
	// sameUUID is the same UUID at the next source, in a ring of all that have it: the
	// object itself, nearly always.
	sameUUID *object
}

// hasState reports whether the object's state may be published. Each Xen host has a
// Domain-0 with the nil UUID, which cannot be told from the others' in a store.
func (d *object) hasState() bool { return d.key.Family == schema.FamilyDomain && !d.key.UUID.IsZero() }
