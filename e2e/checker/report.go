package checker

import (
	"fmt"
	"slices"
	"strings"
)

// Report is a judgement. A fault of an event is counted once, in one field. Only a lost
// event may be counted twice: its source's sequence has a hole too.
type Report struct {
	// Sent and Read count events, the others what they were spread over.
	Sent, Read                         int
	Streams, Keys, Partitions, Sources int

	// Lost are events that were not read although they were sent, or although later
	// events of their stream prove that they exist.
	Lost int
	// Holes are the missing sequences of sources, below the highest that was read.
	Holes int
	// Repeated are events that were read again, in all their numbers the same, with the
	// same id: what a consumer can drop.
	Repeated int
	// Clashing are ids or numbers that name two events.
	Clashing int
	// Disordered are events that came after a later one of their stream.
	Disordered int
	// Misplaced are events in the wrong partition.
	Misplaced int
	// Altered are events whose content is not the one that was sent. Foreign are events
	// that were not sent.
	Altered, Foreign int

	// Examples describe the first faults.
	Examples []string
}

// maxExamples bounds Report.Examples.
const maxExamples = 20

func (r *Report) note(count *int, format string, args ...any) {
	*count++
	if len(r.Examples) < maxExamples {
		r.Examples = append(r.Examples, fmt.Sprintf(format, args...))
	}
}

// Report judges what has been taken in. It is called once, at the end.
func (c *Checker) Report() Report {
	r := &c.report
	r.Sent, r.Streams, r.Keys, r.Partitions, r.Sources = c.events, len(c.streams), len(c.homes), len(c.offsets), len(c.sources)
	if c.events == 0 {
		for at, s := range c.streams {
			r.lose(int(s.max-s.count), int(s.max), at.subject)
		}
	}
	for subject, sent := range c.sent {
		r.lose(len(sent)-c.matched[subject], len(sent), subject)
	}
	for at, src := range c.sources {
		if n := src.max - src.count; n > 0 {
			r.Holes += int(n)
			r.Examples = append(r.Examples, fmt.Sprintf("%d of the %d sequences of %s are missing", n, src.max, at.source))
		}
	}
	slices.Sort(r.Examples)
	r.Examples = r.Examples[:min(len(r.Examples), maxExamples)]
	return *r
}

func (r *Report) lose(n, of int, subject string) {
	if n > 0 {
		r.Lost += n
		r.Examples = append(r.Examples, fmt.Sprintf("%d of the %d events of %s were not read", n, of, subject))
	}
}

// Err returns nil if there is no fault of any kind.
func (r Report) Err() error {
	if r.Lost+r.Holes+r.Repeated+r.Clashing+r.Disordered+r.Misplaced+r.Altered+r.Foreign == 0 {
		return nil
	}
	return fmt.Errorf("%s\n  %s", r, strings.Join(r.Examples, "\n  "))
}

func (r Report) String() string {
	return fmt.Sprintf("%d events sent, %d read in %d streams, %d keys and %d partitions: %d lost, %d holes, %d repeated, %d clashing, "+
		"%d disordered, %d misplaced, %d altered, %d foreign",
		r.Sent, r.Read, r.Streams, r.Keys, r.Partitions,
		r.Lost, r.Holes, r.Repeated, r.Clashing, r.Disordered, r.Misplaced, r.Altered, r.Foreign)
}
