package libvirttest

import (
	"encoding/binary"
	"fmt"

	"github.com/virtcast/virtcast/schema"
)

// FirehoseTally checks at a reader what a [Server.Firehose] sent. The zero value is
// ready. A domain's first event may have any number, since a reader may join late. Not
// safe for concurrent use.
type FirehoseTally struct {
	// Events counts all that were added and are a firehose's.
	Events uint64
	// Lost counts the numbers that were jumped over, Repeated those that came again or
	// too late.
	Lost, Repeated uint64
	// Foreign counts events of other domains, and events that do not fit their number.
	Foreign uint64

	next map[uint32]int
}

// Add counts one event, and returns what is wrong with it, if anything.
func (t *FirehoseTally) Add(d schema.Object, event, detail int32) error {
	i := binary.BigEndian.Uint32(d.UUID[12:])
	k := int(d.ID) - 1
	if k < 0 || d != FirehoseDomain(int(i), k) {
		t.Foreign++
		return fmt.Errorf("domain %s %s id %d is no firehose domain", d.Name, d.UUID, d.ID)
	}
	if wantEvent, wantDetail := FirehoseEvent(k); event != wantEvent || detail != wantDetail {
		t.Foreign++
		return fmt.Errorf("domain %s event number %d: got type %d detail %d, want %d %d",
			d.Name, k, event, detail, wantEvent, wantDetail)
	}
	t.Events++
	if t.next == nil {
		t.next = make(map[uint32]int)
	}
	want, seen := t.next[i]
	t.next[i] = max(want, k+1)
	switch {
	case !seen || k == want:
		return nil
	case k > want:
		t.Lost += uint64(k - want)
		return fmt.Errorf("domain %s: event number %d after %d", d.Name, k, want-1)
	default:
		t.Repeated++
		return fmt.Errorf("domain %s: event number %d again, after %d", d.Name, k, want-1)
	}
}

// Next returns the number of the event that domain i should send next, and whether any
// was seen.
func (t *FirehoseTally) Next(i int) (k int, seen bool) {
	k, seen = t.next[uint32(i)]
	return k, seen
}
