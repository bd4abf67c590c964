package bridge

import (
	"bytes"

	"github.com/virtcast/virtcast/schema"
)

// waitingBytes bounds the undelivered events that a pump keeps in memory.
const waitingBytes = 1 << 20

// eventBytes is what an event takes in memory beside its record, about.
const eventBytes = 400

// backlog is what a pump has read and its sink has not taken. It has two parts:
//
//	            cursor                                read
//	journal ────┬─────────────────────────────────────┬──────►
//	            waiting: events in memory             └ new
//	            parked:  offsets, read again in sweeps
//
// Events wait in memory until there are [waitingBytes] of them. Those beyond are parked:
// two bits each say that the record is undelivered, and whether the sink was given it
// before. So the journal's own size bounds the memory: a MiB for four million records,
// and a counter for each object and connection that has something parked.
//
// A sweep reads the parked records again, from the first to the last and then from the
// first again, a part with each attempt. It presents an event that need not wait for an
// earlier undelivered one; all others stay. So a key that is stuck for long, and fills
// the memory, does not hold up another that is not stuck any more.
//
// Law: if the event y must wait for the earlier event x (see [holds]), and x is parked,
// then y is parked.
type backlog struct {
	limit   int // of bytes
	waiting []undelivered
	bytes   int   // of waiting
	inWait  holds // the events of waiting

	parked   offsets
	sent     offsets // those of parked that the sink was given before
	inParked holds   // the events of parked

	// The sweep: the offset where it goes on, and the events that it has left parked.
	at       uint64
	leftOver holds
}

func (b *backlog) empty() bool { return len(b.waiting) == 0 && b.parked.count == 0 }

// first returns the smallest offset of an undelivered record.
func (b *backlog) first() (offset uint64, ok bool) {
	offset, ok = b.parked.next(0)
	for i := range b.waiting {
		if at := b.waiting[i].offset; at != 0 && (!ok || at < offset) {
			offset, ok = at, true
		}
	}
	return offset, ok
}

// mustWait reports whether e must not overtake an undelivered event.
func (b *backlog) mustWait(e *schema.Event) bool {
	return b.inWait.mustWait(e) || b.inParked.mustWait(e)
}

// hasRoom reports whether a record of this size may wait in memory.
func (b *backlog) hasRoom(size int) bool {
	return len(b.waiting) == 0 || b.bytes+size+eventBytes <= b.limit
}

// take moves all events that wait in memory to a round.
func (b *backlog) take(r *round) {
	for i := range b.waiting {
		u := &b.waiting[i]
		r.add(u.entry, &u.event)
	}
	clear(b.waiting)
	b.waiting, b.bytes = b.waiting[:0], 0
	b.inWait.clear()
}

// sweep adds a record that was read again to a round, if it is parked and need not wait.
func (b *backlog) sweep(r *round, offset uint64, data []byte, e *schema.Event) {
	if b.inWait.mustWait(e) || b.leftOver.mustWait(e) {
		b.leftOver.add(e)
		return
	}
	r.add(entry{offset: offset, data: data, sent: b.sent.has(offset), parked: true}, e)
}

// restartSweep makes the next sweep begin with the first parked record.
func (b *backlog) restartSweep() {
	b.at = 0
	b.leftOver.clear()
}

// settle takes in what a round has left without outcome, and takes out what has one.
func (b *backlog) settle(r *round) {
	held := r.held
	for i := range r.entries {
		en := &r.entries[i]
		if en.parked || en.result != open {
			continue
		}
		for i >= r.again && len(held) > 0 && held[0].offset < en.offset {
			b.keep(&held[0].entry, &held[0].event)
			held = held[1:]
		}
		en.sent = true
		b.keep(en, &r.events[i])
	}
	for i := range held {
		b.keep(&held[i].entry, &held[i].event)
	}
	for i := range r.entries { // What was in memory stays there first.
		switch en := &r.entries[i]; {
		case !en.parked:
		case en.result == open:
			en.sent = true
			b.keepSwept(en, &r.events[i])
		default:
			b.unpark(en, &r.events[i])
		}
	}
	if len(b.waiting) == 0 {
		b.restartSweep()
	}
}

// keep takes in an event without outcome. Of events that must wait for each other, the
// earlier comes first.
func (b *backlog) keep(en *entry, e *schema.Event) {
	if en.offset != 0 && (!b.hasRoom(len(en.data)) || b.inParked.mustWait(e)) {
		b.park(en, e)
		return
	}
	b.wait(en, e) // Also what a store is primed with, which cannot be read again.
}

// keepSwept takes back an event that a sweep has presented. Where there is room it waits
// in memory from now on, so that it is presented again soon.
func (b *backlog) keepSwept(en *entry, e *schema.Event) {
	if b.hasRoom(len(en.data)) && !b.leftOver.mustWait(e) {
		b.unpark(en, e)
		b.wait(en, e)
		return
	}
	b.sent.add(en.offset)
	b.leftOver.add(e)
}

func (b *backlog) wait(en *entry, e *schema.Event) {
	u := undelivered{*en, *e}
	if !u.owned {
		u.data, u.owned = bytes.Clone(u.data), true
	}
	b.waiting = append(b.waiting, u)
	b.bytes += len(en.data) + eventBytes
	b.inWait.add(e)
}

func (b *backlog) park(en *entry, e *schema.Event) {
	b.parked.add(en.offset)
	if en.sent {
		b.sent.add(en.offset)
	}
	b.inParked.add(e)
	if en.offset < b.at { // The sweep has passed it, and must not present what waits for it.
		b.leftOver.add(e)
	}
}

// unpark takes a parked event out.
func (b *backlog) unpark(en *entry, e *schema.Event) {
	b.parked.remove(en.offset)
	b.sent.remove(en.offset)
	b.inParked.remove(e)
	en.parked = false
}
