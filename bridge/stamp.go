package bridge

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/virtcast/virtcast/bridge/journal"
	"github.com/virtcast/virtcast/schema"
)

// The journal's state keys. A source never contains a NUL.
const (
	keySource = 's' // 's' source → uvarint: last sequence
	keyDomain = 'd' // 'd' source NUL uuid → domainState
)

// domainStateVersion is the first byte of a stored domainState.
const domainStateVersion = 1

// domainState is what is known of one domain at one source: how far its own
// sequence is, and the last that was heard of it, which a reconciliation compares
// with what the hypervisor lists.
type domainState struct {
	sequence      uint64
	event, detail int32
	id            int32
	at            int64 // Unix nanoseconds
	name          string
}

// stampedDomain is a domain's state in memory.
type stampedDomain struct {
	domainState
	source *stampedSource
	uuid   schema.UUID
	batch  uint64 // the batch that changed it last
}

// stampedSource is the stamps of one source in memory.
type stampedSource struct {
	name     string
	sequence uint64
	domains  map[schema.UUID]*stampedDomain
	batch    uint64 // the batch that changed it last
}

// stamper gives ids and sequences to observations. It works on batches: the stamps
// of a batch become the state with commit, or are taken back with rollback, so
// that a batch that the journal refused leaves no hole in any sequence. It is
// used by one goroutine.
type stamper struct {
	epoch   string
	sources map[string]*stampedSource
	domains int // over all sources

	// The batch in hand: what it changed, with the former values.
	batch          uint64
	changedSources []changedSource
	changedDomains []changedDomain
	key, value     []byte
}

type changedSource struct {
	*stampedSource
	former uint64
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
	return s, nil
}

var errStateFormat = errors.New("unknown state format (written by a newer virtcast?)")

func (s *stamper) load(key, value []byte) error {
	if len(key) == 0 {
		return fmt.Errorf("empty key: %w", errStateFormat)
	}
	switch rest := key[1:]; key[0] {
	case keySource:
		n, size := binary.Uvarint(value)
		if size <= 0 {
			return fmt.Errorf("source %q: %w", rest, errStateFormat)
		}
		s.source(string(rest)).sequence = n
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
		src.domains[uuid] = &stampedDomain{domainState: state, source: src, uuid: uuid}
		s.domains++
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

// stamp makes an event of an observation, as part of the batch in hand.
func (s *stamper) stamp(o *schema.Observation) schema.Event {
	src := s.source(o.Connection.Source)
	if src.batch != s.batch {
		src.batch = s.batch
		s.changedSources = append(s.changedSources, changedSource{src, src.sequence})
	}
	src.sequence++
	e := schema.Event{Observation: *o, Epoch: s.epoch, Sequence: src.sequence}
	if o.Domain.UUID.IsZero() {
		return e
	}
	domain := src.domains[o.Domain.UUID]
	if domain == nil {
		domain = &stampedDomain{source: src, uuid: o.Domain.UUID}
		src.domains[o.Domain.UUID] = domain
		s.domains++
	}
	if domain.batch != s.batch {
		domain.batch = s.batch
		s.changedDomains = append(s.changedDomains, changedDomain{domain, domain.domainState})
	}
	domain.sequence++
	domain.at = o.Received.UnixNano()
	domain.id = o.Domain.ID
	domain.name = o.Domain.Name
	if o.Kind == schema.KindLifecycle {
		domain.event, domain.detail = o.Event, o.Detail
	}
	e.DomainSequence = domain.sequence
	return e
}

// put adds the state changes of the batch in hand to a journal batch.
func (s *stamper) put(b *journal.Batch) {
	for _, src := range s.changedSources {
		s.key = append(append(s.key[:0], keySource), src.name...)
		s.value = binary.AppendUvarint(s.value[:0], src.sequence)
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
			delete(domain.source.domains, domain.uuid)
			s.domains--
		}
	}
	for _, src := range s.changedSources {
		src.sequence = src.former
	}
	s.commit()
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
		delete(domain.source.domains, domain.uuid)
		s.domains--
		s.key = domain.appendKey(s.key[:0])
		b.Delete(s.key)
	}
}

func (d *stampedDomain) appendKey(dst []byte) []byte {
	dst = append(append(dst, keyDomain), d.source.name...)
	return append(append(dst, 0), d.uuid[:]...)
}

func (d *domainState) append(dst []byte) []byte {
	dst = append(dst, domainStateVersion)
	dst = binary.AppendUvarint(dst, d.sequence)
	dst = binary.AppendVarint(dst, int64(d.event))
	dst = binary.AppendVarint(dst, int64(d.detail))
	dst = binary.AppendVarint(dst, int64(d.id))
	dst = binary.AppendVarint(dst, d.at)
	return append(dst, d.name...)
}

func parseDomainState(b []byte) (domainState, error) {
	if len(b) == 0 || b[0] != domainStateVersion {
		return domainState{}, errStateFormat
	}
	b = b[1:]
	sequence, size := binary.Uvarint(b)
	if size <= 0 || sequence == 0 {
		return domainState{}, errStateFormat
	}
	b = b[size:]
	var fields [4]int64
	for i := range fields {
		v, size := binary.Varint(b)
		if size <= 0 {
			return domainState{}, errStateFormat
		}
		fields[i], b = v, b[size:]
	}
	return domainState{
		sequence: sequence,
		event:    int32(fields[0]),
		detail:   int32(fields[1]),
		id:       int32(fields[2]),
		at:       fields[3],
		name:     string(b),
	}, nil
}
