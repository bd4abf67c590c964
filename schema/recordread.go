package schema

import (
	"fmt"
	"math"
)

// ReadRecord reads what [AppendRecord] made, for one sink, in one pass. goes is false
// where the event is not for that sink; the Event is zero then. Times are in UTC. Equal
// connections, names and epochs are shared through in, which may be nil; then each is
// allocated. Nothing refers to b afterwards. The error is an [ErrRecord] or an
// [ErrNewerRecord].
func ReadRecord(b []byte, sink string, in *Interner) (e Event, goes bool, err error) {
	p := recordParser{in: in, sink: sink, filters: true}
	p.parse(b, &e)
	if err := p.err(); err != nil {
		return Event{}, false, err
	}
	if p.passes {
		return Event{}, false, nil
	}
	return e, true, nil
}

// ParseRecord reads what [AppendRecord] made, as [ReadRecord] does, and returns the names
// of the event's sinks; nil means every sink. The names are read only: records share
// them.
func ParseRecord(b []byte, in *Interner) (Event, []string, error) {
	var e Event
	p := recordParser{in: in}
	p.parse(b, &e)
	if err := p.err(); err != nil {
		return Event{}, nil, err
	}
	return e, p.sinks, nil
}

// recordParser parses one record.
type recordParser struct {
	recordReader
	in *Interner
	// sink is the one that the record is read for, if filters is set.
	sink    string
	filters bool
	// passes is set when filters is, and the record is not for the sink.
	passes bool
	sinks  []string
	newer  bool
}

func (p *recordParser) err() error {
	switch {
	case p.newer:
		return fmt.Errorf("%w: %s", ErrNewerRecord, p.problem)
	case p.problem != "":
		return fmt.Errorf("%w: %s", ErrRecord, p.problem)
	default:
		return nil
	}
}

// failNewer notes that only a newer version knows how to go on.
func (p *recordParser) failNewer(problem string) {
	p.newer = p.newer || p.problem == ""
	p.fail(problem)
}

func (p *recordParser) parse(b []byte, e *Event) {
	p.rest = b
	head := p.take(2)
	switch {
	case head == nil:
	case head[0] == recordV1 || head[0] == recordV2:
		p.parseOld(head[0], head[1], e)
	case head[0] > recordV3:
		p.failNewer(fmt.Sprintf("it has version %d, this program knows %d", head[0], recordV3))
	case head[0] != recordV3:
		p.fail(fmt.Sprintf("version %d", head[0]))
	case head[1]&^recordFlags != 0:
		p.failNewer(fmt.Sprintf("unknown flags %#x", head[1]&^recordFlags))
	default:
		e.Synthetic = head[1]&recordSynthetic != 0
		p.parseHead(e)
		for more := true; more; {
			more = p.parseSection(e)
		}
		switch {
		case p.passes:
		case len(p.rest) > 0:
			p.fail("bytes after its end")
		case e.Connection == nil:
			p.fail("no connection")
		}
	}
}

// parseHead reads the numbers that every record has.
func (p *recordParser) parseHead(e *Event) {
	e.Kind = Kind(p.uvarint(math.MaxUint32))
	e.Observation.Event = p.int32()
	e.Detail = p.int32()
	e.Received = p.time()
	e.Epoch = p.in.text(p.bytes())
	e.Sequence = p.uvarint(math.MaxUint64)
	e.DomainSequence = p.uvarint(math.MaxUint64)
}

// parseSection reads a section, and reports whether there is another one to be read.
func (p *recordParser) parseSection(e *Event) bool {
	head := p.take(1)
	if len(head) == 0 || head[0] == sectionEnd {
		return false
	}
	content := recordReader{rest: p.bytes()}
	if p.problem != "" {
		return false
	}
	switch section := head[0]; section {
	case sectionSinks:
		p.parseSinks(content.rest)
		content.rest = nil
	case sectionConnection:
		e.Connection = p.in.connection(content.connection())
	case sectionObject:
		content.object(&e.Object, p.in)
	case sectionPayload:
		e.Payload = string(content.take(len(content.rest)))
	case sectionUnobserved:
		e.UnobservedSince = content.time()
	case sectionGap:
		e.Gap = &Gap{Reason: GapReason(p.in.text(content.bytes())), Lost: content.uvarint(math.MaxUint64), Until: content.time()}
	case sectionOccurred:
		e.Occurred = content.time()
	case sectionState:
		e.State = content.state()
	default:
		if section%2 != 0 {
			p.failNewer(fmt.Sprintf("unknown section %d", section))
		}
		content.rest = nil
	}
	if content.problem == "" && len(content.rest) > 0 {
		content.problem = "bytes after its end"
	}
	if content.problem != "" {
		p.fail(fmt.Sprintf("section %d: %s", head[0], content.problem))
	}
	return p.problem == "" && !p.passes
}

// parseSinks reads the names, or looks for the one that the record is read for.
func (p *recordParser) parseSinks(encoded []byte) {
	names := recordReader{rest: encoded}
	found := false
	for len(names.rest) > 0 {
		found = string(names.bytes()) == p.sink || found
	}
	switch {
	case names.problem != "":
		p.fail("sinks: " + names.problem)
	case p.filters:
		p.passes = !found
	default:
		p.sinks = p.in.stringSet(encoded)
	}
}

// object reads an object.
func (r *recordReader) object(o *Object, in *Interner) {
	if family := r.take(1); family != nil {
		o.Family = Family(family[0])
	}
	copy(o.UUID[:], r.take(len(o.UUID)))
	o.Name = in.text(r.bytes())
	o.ID = r.int32()
}
