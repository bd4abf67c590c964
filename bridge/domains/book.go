package domains

import (
	"cmp"
	"slices"
	"time"

	"github.com/virtcast/virtcast/schema"
)

// Book is what is known of all objects at all sources. It works on batches: what is
// applied becomes the state with Commit, or is taken back with Rollback. It is used by
// one goroutine. Make one with [NewBook].
//
// Objects of other families than domains are in the book too: their events are counted,
// and nothing is concluded from them.
type Book struct {
	sources map[string]*Source
	objects int // over all sources
	// byUUID has one domain of each ring of those with the same UUID.
	byUUID map[schema.UUID]*object

	// The batch in hand: what it has changed, with the former values.
	batch          uint64
	changedSources []changedSource
	changedObjects []changedObject
}

type changedSource struct {
	*Source
	former watch
}

type changedObject struct {
	*object
	former entry // count 0: the object was not known
}

// NewBook returns an empty book.
func NewBook() *Book {
	return &Book{sources: make(map[string]*Source), byUUID: make(map[schema.UUID]*object), batch: 1}
}

// Source returns the source of that name.
func (b *Book) Source(name string) *Source {
	s := b.sources[name]
	if s == nil {
		s = &Source{name: name, domains: make(map[schema.UUID]*object), others: make(map[schema.ObjectKey]*object)}
		b.sources[name] = s
	}
	return s
}

// Len returns how many objects are known, over all sources.
func (b *Book) Len() int { return b.objects }

// Apply takes in an event of an object of s, as part of the batch in hand. sequence is
// the event's number at the source. Apply returns the event's number among those of the
// object, and the state to be published after the event: none (State.Valid is not set)
// where the event's kind tells nothing of states, or another source takes precedence.
func (b *Book) Apply(s *Source, o *schema.Observation, sequence uint64) (number uint64, state schema.State) {
	d := s.find(&o.Object)
	if d == nil {
		d = b.insert(s, o.Object.Key())
	}
	b.touch(d)
	c := context{id: o.Object.ID, sure: d.last > s.missed}
	d.note(o, sequence)
	if !c.sure {
		d.giveUpUnsure()
	}
	if o.Kind == schema.KindLifecycle && o.Object.Family == schema.FamilyDomain {
		if !o.Synthetic {
			d.observed = sequence
		}
		state = b.conclude(d, o, c)
	}
	return d.count, state
}

// conclude takes in what a lifecycle event tells of a domain's state, and returns what is
// to be published of it.
func (b *Book) conclude(d *object, o *schema.Observation, c context) schema.State {
	ruleOf(o.Event, o.Detail)(&d.knowledge, c)
	if !d.hasState() || d.sameUUID != d && !takesPrecedence(d, b.touch) {
		return schema.State{}
	}
	return d.state()
}

// Missed notes that something may have happened at s since that time, which no event has
// told: sequence is the number of the source's last event. The time may be zero.
func (b *Book) Missed(s *Source, sequence uint64, since time.Time) {
	b.touchSource(s)
	s.missed = sequence
	if s.since.IsZero() || !since.IsZero() && since.Before(s.since) {
		s.since = since
	}
}

// Commit makes what was applied the state, and begins the next batch.
func (b *Book) Commit() {
	b.batch++
	clear(b.changedSources)
	clear(b.changedObjects) // lets go of names and forgotten objects
	b.changedSources, b.changedObjects = b.changedSources[:0], b.changedObjects[:0]
}

// Rollback takes what was applied back, and begins the next batch.
func (b *Book) Rollback() {
	for _, d := range b.changedObjects {
		d.entry = d.former
		if d.former.count == 0 {
			b.remove(d.object)
		}
	}
	for _, s := range b.changedSources {
		s.watch = s.former
	}
	b.Commit()
}

// Changed calls f for each object that the batch in hand has changed, with the source's
// name and the value to be kept of it, which is valid during the call.
func (b *Book) Changed(f func(source string, key schema.ObjectKey, value []byte)) {
	var value []byte
	for _, d := range b.changedObjects {
		value = d.entry.append(value[:0])
		f(d.source.name, d.key, value)
	}
}

// Load takes in a value that Changed gave once, when the book is new. The error is
// package value's.
func (b *Book) Load(source string, key schema.ObjectKey, kept []byte) error {
	e, err := parseEntry(kept)
	if err != nil {
		return err
	}
	s := b.Source(source)
	b.insert(s, key).entry = e
	if at := time.Unix(0, e.at).UTC(); at.After(s.since) {
		s.since = at // Nobody has observed the source since its last event.
	}
	return nil
}

// Forget takes the n objects out that have been silent for longest, and calls f for each.
// It is called between batches.
func (b *Book) Forget(n int, f func(source string, key schema.ObjectKey)) {
	all := make([]*object, 0, b.objects)
	for _, s := range b.sources {
		for _, d := range s.domains {
			all = append(all, d)
		}
		for _, d := range s.others {
			all = append(all, d)
		}
	}
	slices.SortFunc(all, func(a, b *object) int { return cmp.Compare(a.at, b.at) })
	for _, d := range all[:min(n, len(all))] {
		b.remove(d)
		f(d.source.name, d.key)
	}
}

// insert adds an object that is not known yet at a source.
func (b *Book) insert(s *Source, key schema.ObjectKey) *object {
	d := &object{source: s, key: key, entry: entry{knowledge: nothing}}
	d.sameUUID = d
	b.objects++
	if key.Family != schema.FamilyDomain {
		s.others[key] = d
		return d
	}
	s.domains[key.UUID] = d
	if !d.hasState() {
		return d
	}
	if other := b.byUUID[key.UUID]; other != nil {
		d.sameUUID, other.sameUUID = other.sameUUID, d
	} else {
		b.byUUID[key.UUID] = d
	}
	return d
}

// remove is the reverse of insert.
func (b *Book) remove(d *object) {
	b.objects--
	if d.key.Family != schema.FamilyDomain {
		delete(d.source.others, d.key)
		return
	}
	delete(d.source.domains, d.key.UUID)
	if !d.hasState() {
		return
	}
	before := d
	for before.sameUUID != d {
		before = before.sameUUID
	}
	before.sameUUID = d.sameUUID
	if before == d {
		delete(b.byUUID, d.key.UUID)
	} else {
		b.byUUID[d.key.UUID] = before
	}
}

// touch notes what an object was before the batch in hand.
func (b *Book) touch(d *object) {
	if d.batch != b.batch {
		d.batch = b.batch
		b.changedObjects = append(b.changedObjects, changedObject{d, d.entry})
	}
}

// touchSource notes how a source was observed before the batch in hand.
func (b *Book) touchSource(s *Source) {
	if s.batch != b.batch {
		s.batch = b.batch
		b.changedSources = append(b.changedSources, changedSource{s, s.watch})
	}
}
