package bridge

import "github.com/virtcast/virtcast/schema"

// entry is what a pump knows of an event beside the event itself.
type entry struct {
	// offset is 0 for a state that a store is primed with: it is no record.
	offset uint64
	data   []byte // the record
	owned  bool   // data is not the reader's memory
	sent   bool   // the sink was given it before
	parked bool   // it is in backlog.parked
	result result
	reason error // of a refusal
}

// result is what has become of an event in a round.
type result uint8

const (
	open         result = iota // no outcome yet
	acknowledged               // the other side has it
	refused                    // it can never be delivered
)

// undelivered is an event that is kept in memory.
type undelivered struct {
	entry
	event schema.Event
}
