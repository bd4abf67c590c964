package sinktest

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/virtcast/virtcast/schema"
)

// Source makes stamped events of a few connections and domains, as a bridge would:
// sequences are contiguous per source, domain sequences per domain. Not for concurrent
// use.
type Source struct {
	connections []*schema.Connection
	domains     int
	epoch       string
	next        int
	sequences   map[string]uint64
	perDomain   map[domainKey]uint64
}

type domainKey struct {
	source string
	domain schema.UUID
}

// start is the time of the first event. One microsecond passes from event to event.
var start = time.Date(2026, time.May, 4, 12, 0, 0, 0, time.UTC)

// NewSource returns a source of events of the given numbers of connections and domains;
// each domain belongs to one connection.
func NewSource(connections, domains int) *Source {
	s := &Source{
		domains: domains, epoch: "01jt0abcde",
		sequences: map[string]uint64{}, perDomain: map[domainKey]uint64{},
	}
	for i := range connections {
		name := fmt.Sprintf("kvm%02d", i)
		s.connections = append(s.connections, &schema.Connection{
			Name: name, URI: "qemu:///system", Hostname: name + ".example.com",
			Source: "qemu://" + name + ".example.com/system",
		})
	}
	return s
}

// lifecycle is the life of a domain, as event and detail.
var lifecycle = [...][2]int32{{0, 0}, {2, 0}, {3, 0}, {4, 0}, {6, 0}, {5, 0}, {2, 5}, {5, 1}}

// Take returns the next n events: the domains take turns, and live through lifecycles.
func (s *Source) Take(n int) []schema.Event {
	events := make([]schema.Event, n)
	for i := range events {
		d := s.next % s.domains
		step := lifecycle[s.next/s.domains%len(lifecycle)]
		events[i] = s.stamp(schema.Observation{
			Connection: s.connections[d%len(s.connections)], Kind: schema.KindLifecycle,
			Object: schema.Object{UUID: domainUUID(d), Name: fmt.Sprintf("vm-%d", d), ID: int32(d + 1)},
			Event:  step[0], Detail: step[1],
		})
	}
	return events
}

// Gap returns an event about the i-th connection as a whole.
func (s *Source) Gap(i int) schema.Event {
	since := start.Add(-time.Minute)
	return s.stamp(schema.Observation{
		Connection: s.connections[i], Kind: schema.KindGap, UnobservedSince: since,
		Gap: &schema.Gap{Reason: schema.GapDisconnected, Until: start},
	})
}

// Peculiar returns events with what is rare: unknown numbers, a name that is not ASCII,
// no name, a synthetic one.
func (s *Source) Peculiar() []schema.Event {
	events := s.Take(4)
	events[0].Event, events[0].Detail = 42, 43
	events[1].Object.Name = "mañana \"quoted\" .*> \u2028 名前"
	events[2].Object.Name, events[2].Object.ID = "", -1
	events[3].Synthetic, events[3].UnobservedSince = true, start
	return events
}

func (s *Source) stamp(o schema.Observation) schema.Event {
	o.Received = start.Add(time.Duration(s.next) * time.Microsecond)
	s.next++
	source := o.Connection.Source
	s.sequences[source]++
	e := schema.Event{Observation: o, Epoch: s.epoch, Sequence: s.sequences[source]}
	if !o.Object.UUID.IsZero() {
		key := domainKey{source, o.Object.UUID}
		s.perDomain[key]++
		e.DomainSequence = s.perDomain[key]
	}
	return e
}

func domainUUID(i int) (u schema.UUID) {
	u[0], u[6], u[8] = 0x66, 0x40, 0x80
	binary.BigEndian.PutUint32(u[12:], uint32(i))
	return u
}
