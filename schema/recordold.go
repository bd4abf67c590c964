package schema

import "math"

// Versions 1 and 2 of a record are:
//
//	version          byte
//	flags            byte, the old… constants
//	sinks            uvarint count, that many strings    if oldSinks
//	kind             uvarint
//	event, detail    varint each
//	received         time
//	epoch            string
//	sequence         uvarint
//	domainsequence   uvarint
//	connection       strings name, uri, hostname, source
//	domain           16 bytes, string name, varint id    if oldDomain
//	unobservedsince  time                                if oldUnobserved
//	gap              string reason, uvarint lost, time   if oldGap
//	state            varint code and reason, byte        if oldState
//
// Version 1 had neither states nor repeats.
const (
	oldSynthetic = 1 << iota
	oldSinks
	oldDomain
	oldUnobserved
	oldGap
	oldState  // since version 2
	oldRepeat // since version 2
	oldV2     = 1<<iota - 1
	oldV1     = oldState - 1
)

// parseOld reads a record of version 1 or 2 behind its flags.
func (p *recordParser) parseOld(version, flags byte, e *Event) {
	if flags&^oldV2 != 0 || version == recordV1 && flags&^oldV1 != 0 {
		p.fail("unknown flags")
		return
	}
	e.Synthetic = flags&oldSynthetic != 0
	if flags&oldSinks != 0 {
		p.parseSinks(p.oldSinks())
	}
	p.parseHead(e)
	e.Connection = p.in.connection(p.connection())
	if flags&oldDomain != 0 {
		copy(e.Object.UUID[:], p.take(len(e.Object.UUID)))
		e.Object.Name = p.in.text(p.bytes())
		e.Object.ID = p.int32()
	}
	if flags&oldUnobserved != 0 {
		e.UnobservedSince = p.time()
	}
	if flags&oldGap != 0 {
		e.Gap = &Gap{Reason: GapReason(p.in.text(p.bytes())), Lost: p.uvarint(math.MaxUint64), Until: p.time()}
	}
	if flags&oldState != 0 {
		e.State = p.state()
	}
	if len(p.rest) > 0 {
		p.fail("bytes after its end")
	}
}

// oldSinks returns the names in their encoded form.
func (r *recordReader) oldSinks() []byte {
	n := r.uvarint(math.MaxInt32)
	start := r.rest
	for ; n > 0 && r.problem == ""; n-- {
		r.bytes()
	}
	if r.problem != "" {
		return nil
	}
	return start[:len(start)-len(r.rest)]
}
