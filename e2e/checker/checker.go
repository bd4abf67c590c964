package checker

import (
	"bufio"
	"fmt"
	"io"
)

// Event is an event as its sender made it.
type Event struct {
	// Event and Detail are names, as "started" and "booted"; ID is the domain's number.
	Event, Detail string
	ID            int
}

// Checker takes in the events that were sent, then the records that were read, and judges
// them. It keeps some 200 bytes for each event. It is not for concurrent use.
type Checker struct {
	partition func(key string) int
	sent      map[string][]Event // by subject, in order
	events    int
	matched   map[string]int // by subject: how many of those that were sent have been read
	streams   map[streamKey]*stream
	sources   map[sourceKey]*source
	offsets   map[int]int64  // by partition: the last that was read
	homes     map[string]int // by key: the partition of its first record
	report    Report
}

type (
	sourceKey struct{ source, epoch string }
	streamKey struct {
		sourceKey
		subject string
	}
)

// source has the events that were read of one source in one epoch.
type source struct {
	count, max uint64 // of different sequences, and the highest
	seen       set
	ids        map[string]place
}

// place says which event an id names.
type place struct {
	subject                  string
	sequence, domainSequence uint64
}

// stream has the events that were read of one subject at one source in one epoch.
type stream struct {
	count, max uint64
	seen       set
}

// set is a set of numbers that are dense from 1 on.
type set []uint64

// add adds n and reports whether it is new.
func (s *set) add(n uint64) bool {
	word, bit := int(n/64), uint64(1)<<(n%64)
	for len(*s) <= word {
		*s = append(*s, 0)
	}
	fresh := (*s)[word]&bit == 0
	(*s)[word] |= bit
	return fresh
}

// maxNumber bounds the numbers of events: more are taken for damage, not for a reason to
// allocate.
const maxNumber = 1 << 28

// New returns a checker. partition returns the right partition of a key. If partition is
// nil, all records of a key must be in the partition of the key's first record.
func New(partition func(key string) int) *Checker {
	return &Checker{
		partition: partition, sent: map[string][]Event{}, matched: map[string]int{}, streams: map[streamKey]*stream{}, sources: map[sourceKey]*source{},
		offsets: map[int]int64{}, homes: map[string]int{},
	}
}

// Sent notes the next event that was sent about a subject. All calls of Sent come before
// the first Read. If there was any call, every event that is read about a subject must
// have been sent, at one source and in one epoch.
func (c *Checker) Sent(subject string, e Event) {
	c.sent[subject] = append(c.sent[subject], e)
	c.events++
}

// ReadAll takes in everything that a reader printed, one record a line.
func (c *Checker) ReadAll(r io.Reader) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		if err := c.Read(lines.Bytes()); err != nil {
			return fmt.Errorf("line %d: %w", c.report.Read+1, err)
		}
	}
	return lines.Err()
}

// Read takes in one record, in the order of its partition. It returns an error if the
// line cannot be judged: the line is no event, or the reader itself has lost the order.
func (c *Checker) Read(text []byte) error {
	r, err := parse(text)
	if err != nil {
		return err
	}
	if last, ok := c.offsets[r.partition]; ok && r.offset <= last {
		return fmt.Errorf("offset %d of partition %d was read after offset %d", r.offset, r.partition, last)
	}
	if r.sequence > maxNumber || r.domainSequence > maxNumber {
		return fmt.Errorf("sequence %d, domainsequence %d: too many to be true", r.sequence, r.domainSequence)
	}
	c.offsets[r.partition] = r.offset
	c.report.Read++
	c.place(&r)
	at := sourceKey{r.Source, r.Epoch}
	src := c.sources[at]
	if src == nil {
		src = &source{ids: map[string]place{}}
		c.sources[at] = src
	}
	if c.identify(src, &r) && r.Subject != "" {
		c.follow(streamKey{at, r.Subject}, &r)
	}
	return nil
}

// place judges the partition.
func (c *Checker) place(r *record) {
	want, known := c.homes[r.key]
	if !known {
		want = r.partition
		if c.partition != nil {
			want = c.partition(r.key)
		}
		c.homes[r.key] = want
	}
	if r.partition != want {
		c.report.note(&c.report.Misplaced, "key %s is in partition %d, want %d (event %s)", r.key, r.partition, want, r.ID)
	}
}

// identify judges the id and the source's sequence. It returns false for one of several
// events with the same numbers.
func (c *Checker) identify(src *source, r *record) bool {
	here := place{r.Subject, r.sequence, r.domainSequence}
	first, known := src.ids[r.ID]
	if known && first == here {
		c.report.note(&c.report.Repeated, "event %s of %s was read again at offset %d of partition %d", r.ID, r.Source, r.offset, r.partition)
		return false
	}
	if !src.seen.add(r.sequence) {
		c.report.note(&c.report.Clashing, "sequence %d of %s occurs again, as event %s of %s", r.sequence, r.Source, r.ID, r.Subject)
		return false
	}
	src.count++
	src.max = max(src.max, r.sequence)
	if known {
		c.report.note(&c.report.Clashing, "id %s of %s names sequence %d of %s, and sequence %d of %s",
			r.ID, r.Source, first.sequence, first.subject, r.sequence, r.Subject)
	} else {
		src.ids[r.ID] = here
	}
	return true
}

// follow judges an event in its stream.
func (c *Checker) follow(at streamKey, r *record) {
	s := c.streams[at]
	if s == nil {
		s = &stream{}
		c.streams[at] = s
	}
	n := r.domainSequence
	switch fresh := s.seen.add(n); {
	case !fresh:
		c.report.note(&c.report.Clashing, "event %d of %s occurs again, as event %s", n, r.Subject, r.ID)
		return
	case n < s.max:
		c.report.note(&c.report.Disordered, "event %d of %s comes after event %d (event %s at offset %d of partition %d)",
			n, r.Subject, s.max, r.ID, r.offset, r.partition)
	}
	s.count++
	s.max = max(s.max, n)
	c.compare(r)
}

// compare judges the content.
func (c *Checker) compare(r *record) {
	if c.events == 0 {
		return
	}
	sent := c.sent[r.Subject]
	if r.domainSequence > uint64(len(sent)) || r.domainSequence == 0 {
		c.report.note(&c.report.Foreign, "event %d of %s was read (event %s), and %d were sent", r.domainSequence, r.Subject, r.ID, len(sent))
		return
	}
	c.matched[r.Subject]++
	got, want := Event{r.data.Event, r.Detail, r.Domain.ID}, sent[r.domainSequence-1]
	if got != want {
		c.report.note(&c.report.Altered, "event %d of %s is %v, and was sent as %v", r.domainSequence, r.Subject, got, want)
	}
}
