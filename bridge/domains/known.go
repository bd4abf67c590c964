package domains

import (
	"time"

	"github.com/virtcast/virtcast/schema"
)

// Known is a copy of what is known of a domain.
type Known struct {
	// Source is the name of the source whose state is published.
	Source string
	UUID   schema.UUID
	entry  entry
}

// Known returns the domains that exist, each at the source that takes precedence. The
// copies share nothing that changes.
func (b *Book) Known() []Known {
	all := make([]Known, 0, b.objects)
	for _, s := range b.sources {
		for _, d := range s.domains {
			if d.last > 0 && d.presence != absent && d.isFirst() && d.hasState() {
				all = append(all, Known{Source: s.name, UUID: d.key.UUID, entry: d.entry})
			}
		}
	}
	return all
}

// Event is the event that tells the state after the domain's last event, as it was made
// then. epoch is the source's.
func (k *Known) Event(c *schema.Connection, epoch string) schema.Event {
	e := schema.Event{
		Observation: schema.Observation{
			Connection: c,
			Object:     schema.Object{UUID: k.UUID, Name: k.entry.name, ID: k.entry.id},
			Received:   time.Unix(0, k.entry.at).UTC(),
			Synthetic:  k.entry.synthetic,
		},
		Epoch: epoch, Sequence: k.entry.last, DomainSequence: k.entry.count, State: k.entry.state(),
	}
	if k.entry.since != 0 {
		e.UnobservedSince = time.Unix(0, k.entry.since).UTC()
	}
	return e.StateEvent()
}
