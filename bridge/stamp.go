package bridge

import (
	"fmt"
	"time"

	"github.com/virtcast/virtcast/bridge/domains"
	"github.com/virtcast/virtcast/bridge/journal"
	"github.com/virtcast/virtcast/bridge/value"
	"github.com/virtcast/virtcast/schema"
)

// stamper gives ids and sequences to observations. It works on batches: the stamps of a
// batch become the state with commit, or are taken back with rollback, so that a batch
// that the journal refused leaves no hole in any sequence. It is used by one goroutine,
// but for positions.durable.
type stamper struct {
	epoch     string // the journal's, for new sources
	book      *domains.Book
	sources   map[string]*source
	positions positions

	// The batch in hand: what it changed, with the former values.
	batch      uint64
	changed    []changedSource
	key, value []byte
}

type changedSource struct {
	*source
	former uint64 // the sequence
}

// newStamper loads the values that the journal holds.
func newStamper(j *journal.Journal) (*stamper, error) {
	s := &stamper{
		epoch:     schema.FormatEpoch(j.Epoch()),
		book:      domains.NewBook(),
		sources:   make(map[string]*source),
		positions: newPositions(),
		batch:     1,
	}
	var err error
	j.Values(func(key, value []byte) bool {
		err = s.load(key, value)
		return err == nil
	})
	if err != nil {
		return nil, fmt.Errorf("load the journal's values: %w", err)
	}
	for _, src := range s.sources { // Nobody listened while the program was not running.
		s.book.Missed(src.objects, src.sequence, time.Time{})
	}
	s.book.Commit()
	return s, nil
}

// load takes in one value of the journal.
func (s *stamper) load(key, v []byte) error {
	if len(key) == 0 {
		return fmt.Errorf("empty key: %w", value.ErrFormat)
	}
	var err error
	switch rest := key[1:]; key[0] {
	case keySource:
		err = s.source(string(rest)).parse(v)
	case keyPosition:
		err = s.positions.load(string(rest), v)
	case keyDomain, keyObject:
		var name string
		var object schema.ObjectKey
		if name, object, err = parseObjectKey(key); err == nil {
			s.source(name)
			err = s.book.Load(name, object, v)
		}
	default:
		err = value.ErrNewer
	}
	if err != nil {
		return fmt.Errorf("value of %q: %w", key, err)
	}
	return nil
}

// source returns what is known of a source, which is new if nothing is.
func (s *stamper) source(name string) *source {
	src := s.sources[name]
	if src == nil {
		src = &source{name: name, epoch: s.epoch, objects: s.book.Source(name)}
		s.sources[name] = src
	}
	return src
}

// stamp makes e an event of an observation, as part of the batch in hand.
func (s *stamper) stamp(o *schema.Observation, e *schema.Event) {
	src := s.source(o.Connection.Source)
	if src.batch != s.batch {
		src.batch = s.batch
		s.changed = append(s.changed, changedSource{src, src.sequence})
	}
	src.sequence++
	src.connection = o.Connection
	e.Observation, e.Epoch, e.Sequence = *o, src.epoch, src.sequence
	if o.Kind == schema.KindGap {
		s.book.Missed(src.objects, src.sequence, o.UnobservedSince)
	}
	if (o.Object.Family == schema.FamilyConnection || o.Object.UUID.IsZero()) && o.Object.IsConnection() {
		e.DomainSequence, e.State = 0, schema.State{}
		return
	}
	e.DomainSequence, e.State = s.book.Apply(src.objects, o, src.sequence)
}

// put adds what the batch in hand has changed to a journal batch.
func (s *stamper) put(b *journal.Batch) {
	for _, src := range s.changed {
		s.key = append(append(s.key[:0], keySource), src.name...)
		s.value = src.append(s.value[:0])
		b.Put(s.key, s.value)
	}
	s.book.Changed(func(source string, object schema.ObjectKey, v []byte) {
		s.key = appendObjectKey(s.key[:0], source, object)
		b.Put(s.key, v)
	})
	s.positions.put(b)
}

// commit makes the stamps of the batch in hand the state, and begins the next.
func (s *stamper) commit() {
	s.book.Commit()
	s.positions.commit()
	s.next()
}

// rollback takes the stamps of the batch in hand back, and begins the next.
func (s *stamper) rollback() {
	for _, src := range s.changed {
		src.sequence = src.former
	}
	s.book.Rollback()
	s.positions.rollback()
	s.next()
}

func (s *stamper) next() {
	s.batch++
	clear(s.changed)
	s.changed = s.changed[:0]
}

// known returns the states that a store is primed with.
func (s *stamper) known() []schema.Event {
	known := s.book.Known()
	events := make([]schema.Event, 0, len(known))
	for i := range known {
		if src := s.sources[known[i].Source]; src.connection != nil {
			events = append(events, known[i].Event(src.connection, src.epoch))
		}
	}
	return events
}

// forgetOldest takes the n objects that have been silent for longest out of the book, and
// adds that to a journal batch. It is called between batches; if the batch is not
// written, the objects merely come back with the next start.
func (s *stamper) forgetOldest(n int, b *journal.Batch) {
	s.book.Forget(n, func(source string, object schema.ObjectKey) {
		s.key = appendObjectKey(s.key[:0], source, object)
		b.Delete(s.key)
	})
}
