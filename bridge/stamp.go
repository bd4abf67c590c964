package bridge

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/virtcast/virtcast/bridge/journal"
	"github.com/virtcast/virtcast/schema"
)

// The journal's state keys. A source never contains a NUL.
const (
	keySource = 's' // 's' source → sequence and connection, see stampedSource.append
	keyDomain = 'd' // 'd' source NUL uuid → domainState
)

// stampedDomain is a domain's state in memory.
type stampedDomain struct {
	domainState
	source *stampedSource
	uuid   schema.UUID
	batch  uint64 // the batch that changed it last
	// twin is the same UUID at the next source, in a ring of all that have it: itself, nearly always.
	twin *stampedDomain
}

// stampedSource is the stamps of one source in memory.
type stampedSource struct {
	name     string
	sequence uint64
	// missed is the sequence at the last time that may not have been observed: a gap, or the program's start.
	missed uint64
	// connection is the last one that the source was seen by; nil if a state of an earlier version has none.
	connection *schema.Connection
	domains    map[schema.UUID]*stampedDomain
	batch      uint64 // the batch that changed it last
}

// stamper gives ids and sequences to observations. It works on batches: the stamps
// of a batch become the state with commit, or are taken back with rollback, so
// that a batch that the journal refused leaves no hole in any sequence. It is
// used by one goroutine.
type stamper struct {
	epoch   string
	sources map[string]*stampedSource
	domains int // over all sources
	// byUUID has one domain of each ring of twins.
	byUUID map[schema.UUID]*stampedDomain

	// The batch in hand: what it changed, with the former values.
	batch          uint64
	changedSources []changedSource
	changedDomains []changedDomain
	key, value     []byte
}

type changedSource struct {
	*stampedSource
	sequence, missed uint64 // the former values
}

type changedDomain struct {
	*stampedDomain
	former domainState // sequence 0: the domain was not known
}

// newStamper loads the state that the journal holds.
func newStamper(j *journal.Journal) (*stamper, error) {
	s := &stamper{
		epoch:   schema.FormatEpoch(j.Epoch()),
		sources: make(map[string]*stampedSource),
		byUUID:  make(map[schema.UUID]*stampedDomain),
		batch:   1,
	}
	var err error
	j.States(func(key, value []byte) bool {
		err = s.load(key, value)
		return err == nil
	})
	if err != nil {
		return nil, fmt.Errorf("load the journal's states: %w", err)
	}
	for _, src := range s.sources {
		src.missed = src.sequence // Nobody listened while the program was not running.
	}
	return s, nil
}

var errStateFormat = errors.New("unknown state format (written by a newer virtcast?)")

func (s *stamper) load(key, value []byte) error {
	if len(key) == 0 {
		return fmt.Errorf("empty key: %w", errStateFormat)
	}
	switch rest := key[1:]; key[0] {
	case keySource:
		if err := s.source(string(rest)).parse(value); err != nil {
			return fmt.Errorf("source %q: %w", rest, err)
		}
	case keyDomain:
		split := len(rest) - len(schema.UUID{}) - 1
		if split < 0 || rest[split] != 0 {
			return fmt.Errorf("domain key %q: %w", rest, errStateFormat)
		}
		state, err := parseDomainState(value)
		if err != nil {
			return fmt.Errorf("domain key %q: %w", rest, err)
		}
		src, uuid := s.source(string(rest[:split])), schema.UUID(rest[split+1:])
		s.insert(src, uuid).domainState = state
	default:
		return fmt.Errorf("key %q: %w", key, errStateFormat)
	}
	return nil
}

func (s *stamper) source(name string) *stampedSource {
	src := s.sources[name]
	if src == nil {
		src = &stampedSource{name: name, domains: make(map[schema.UUID]*stampedDomain)}
		s.sources[name] = src
	}
	return src
}

// insert adds a domain that is not known yet at a source.
func (s *stamper) insert(src *stampedSource, uuid schema.UUID) *stampedDomain {
	d := &stampedDomain{source: src, uuid: uuid, domainState: domainState{knowledge: nothing}}
	d.twin = d
	if other := s.byUUID[uuid]; other != nil {
		d.twin, other.twin = other.twin, d
	} else {
		s.byUUID[uuid] = d
	}
	src.domains[uuid] = d
	s.domains++
	return d
}

// remove is the reverse of insert.
func (s *stamper) remove(d *stampedDomain) {
	before := d
	for before.twin != d {
		before = before.twin
	}
	before.twin = d.twin
	if before == d {
		delete(s.byUUID, d.uuid)
	} else {
		s.byUUID[d.uuid] = before
	}
	delete(d.source.domains, d.uuid)
	s.domains--
}

// touch notes what a domain was before the batch in hand.
func (s *stamper) touch(d *stampedDomain) {
	if d.batch != s.batch {
		d.batch = s.batch
		s.changedDomains = append(s.changedDomains, changedDomain{d, d.domainState})
	}
}

// stamp makes an event of an observation, as part of the batch in hand.
func (s *stamper) stamp(o *schema.Observation) schema.Event {
	src := s.source(o.Connection.Source)
	if src.batch != s.batch {
		src.batch = s.batch
		s.changedSources = append(s.changedSources, changedSource{src, src.sequence, src.missed})
	}
	src.sequence++
	src.connection = o.Connection
	e := schema.Event{Observation: *o, Epoch: s.epoch, Sequence: src.sequence}
	if o.Kind == schema.KindGap {
		src.missed = src.sequence
	}
	if o.Object.UUID.IsZero() {
		return e
	}
	domain := src.domains[o.Object.UUID]
	if domain == nil {
		domain = s.insert(src, o.Object.UUID)
	}
	s.touch(domain)
	circumstance := circumstance{id: o.Object.ID, sure: domain.last > src.missed}
	domain.hear(o, src.sequence)
	e.DomainSequence = domain.sequence
	e.State = s.conclude(domain, o, circumstance)
	return e
}

// conclude takes in what an event tells of a domain's state, and returns what is to be published of it.
func (s *stamper) conclude(d *stampedDomain, o *schema.Observation, c circumstance) schema.State {
	if !c.sure {
		d.doubt()
	}
	if o.Kind == schema.KindLifecycle {
		ruleOf(o.Event, o.Detail)(&d.knowledge, c)
	}
	if d.twin != d && !s.claim(d) {
		return schema.State{}
	}
	return d.state()
}

// claim decides, for a UUID that several sources have, whether the one that was just heard speaks for it: the one where
// the domain is active, or is in a migration, or at least defined, in this order. Among equals it is the one that became active last, or else
// the one that spoke for it before. So what the source of a migration says late, after the destination, changes nothing. Last is by
// the time of receipt, since what one connection brought may be recorded after what another brought later.
func (s *stamper) claim(d *stampedDomain) bool {
	mine := d.rank()
	for other := d.twin; other != d; other = other.twin {
		theirs := other.rank()
		switch {
		case theirs > mine, theirs == mine && mine != rankActive && other.speaks:
			return false
		case theirs == mine && mine == rankActive && other.at > d.at:
			d.presence = displaced
			return false
		}
	}
	for other := d.twin; other != d; other = other.twin {
		left := mine == rankActive && (other.presence == active || other.presence == outgoing)
		if !left && !other.speaks {
			continue
		}
		s.touch(other)
		other.speaks = false
		if left {
			other.presence = displaced
		}
	}
	d.speaks = true
	return true
}

// put adds the state changes of the batch in hand to a journal batch.
func (s *stamper) put(b *journal.Batch) {
	for _, src := range s.changedSources {
		s.key = append(append(s.key[:0], keySource), src.name...)
		s.value = src.stampedSource.append(s.value[:0])
		b.Put(s.key, s.value)
	}
	for _, domain := range s.changedDomains {
		s.key = domain.appendKey(s.key[:0])
		s.value = domain.append(s.value[:0])
		b.Put(s.key, s.value)
	}
}

// commit makes the stamps of the batch in hand the state, and begins the next.
func (s *stamper) commit() {
	s.batch++
	clear(s.changedDomains) // lets go of names and forgotten domains
	s.changedSources, s.changedDomains = s.changedSources[:0], s.changedDomains[:0]
}

// rollback takes the stamps of the batch in hand back, and begins the next.
func (s *stamper) rollback() {
	for _, domain := range s.changedDomains {
		domain.domainState = domain.former
		if domain.former.sequence == 0 {
			s.remove(domain.stampedDomain)
		}
	}
	for _, src := range s.changedSources {
		src.stampedSource.sequence, src.stampedSource.missed = src.sequence, src.missed
	}
	s.commit()
}

// known returns copies of the domains that exist, each at the source that speaks for it. They share nothing that changes.
func (s *stamper) known() []knownDomain {
	all := make([]knownDomain, 0, s.domains)
	for _, src := range s.sources {
		if src.connection == nil {
			continue
		}
		for _, d := range src.domains {
			if d.last > 0 && d.presence != absent && d.isFirst() {
				all = append(all, knownDomain{d.domainState, d.uuid, src.connection})
			}
		}
	}
	return all
}

// isFirst reports whether no other source has a stronger claim to the domain.
func (d *stampedDomain) isFirst() bool {
	mine := d.rank()
	for other := d.twin; other != d; other = other.twin {
		if theirs := other.rank(); theirs > mine || theirs == mine && !d.speaks {
			return false
		}
	}
	return true
}

// forgetOldest takes the n domains that have been silent for longest out of the
// state, and adds that to a journal batch. It is called between batches; if the
// batch is not written, the domains merely come back with the next start.
func (s *stamper) forgetOldest(n int, b *journal.Batch) {
	all := make([]*stampedDomain, 0, s.domains)
	for _, src := range s.sources {
		for _, domain := range src.domains {
			all = append(all, domain)
		}
	}
	slices.SortFunc(all, func(a, b *stampedDomain) int { return cmp.Compare(a.at, b.at) })
	for _, domain := range all[:min(n, len(all))] {
		s.remove(domain)
		s.key = domain.appendKey(s.key[:0])
		b.Delete(s.key)
	}
}

func (d *stampedDomain) appendKey(dst []byte) []byte {
	dst = append(append(dst, keyDomain), d.source.name...)
	return append(append(dst, 0), d.uuid[:]...)
}
