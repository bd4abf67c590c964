package registry

import (
	"errors"
	"fmt"
	"path"
	"reflect"
	"slices"
	"sync/atomic"

	"github.com/virtcast/virtcast/schema"
)

// ID names a registration. IDs start at 0, rise, and are never used again.
type ID int64

// Registration says which events a user wants, and where they go.
type Registration struct {
	// Connections are name patterns in [path.Match]'s grammar, of which one must match;
	// none means every connection, those added later included.
	Connections []string
	// Domain limits it to one domain, by UUID, which need not exist; nil means all.
	Domain *schema.UUID
	// Kinds are the kinds wanted; at least one. Gaps ([schema.KindGap]) are not asked
	// for: every registration gets those of its connections.
	Kinds []schema.Kind
	// Sinks are the names of the sinks that matching observations go to. nil means every
	// sink; empty but not nil means none, which needs a Callback. Where several
	// registrations match, an observation goes once to each sink of their union.
	Sinks []string
	// Callback, if not nil, is called with every matching observation once it is durable,
	// and with every gap of the matching connections.
	Callback Observer
	// Release, if not nil, is called exactly once, after the registration is gone and the
	// last call of Callback has returned; see [Registry.DeregisterAny].
	Release func()
}

// Observer is called with observations. Two observers are the same if they are equal as
// interface values; those whose dynamic values cannot be compared, such as an
// [ObserverFunc], are all different (a pointer to one can be compared).
type Observer interface {
	// Observe is called from a goroutine of the connection's, one connection's
	// observations one at a time and in the order of the wire, those of several
	// connections at the same time. It holds up the recording of its connection and must
	// not block for long; above all it must not wait for [Registry.Run] to end. It may
	// call RegisterAny and DeregisterAny.
	Observe(o schema.Observation)
}

// ObserverFunc is a function as an [Observer].
type ObserverFunc func(o schema.Observation)

// Observe calls f.
func (f ObserverFunc) Observe(o schema.Observation) { f(o) }

var _ Observer = ObserverFunc(nil)

// ErrTracked is returned when the same callback is registered already with the same
// connections, domain and kinds.
var ErrTracked = errors.New("event callback already tracked")

// ErrNotRegistered is returned when no registration has that ID, or no longer.
var ErrNotRegistered = errors.New("not registered")

// validate reports the first fault of a registration.
func (reg *Registration) validate() error {
	for _, pattern := range reg.Connections {
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("connection pattern %q: %w", pattern, err)
		}
	}
	if len(reg.Kinds) == 0 {
		return errors.New("no kinds: name at least one")
	}
	for _, kind := range reg.Kinds {
		switch family := kind.Family(); {
		case family == schema.FamilyConnection:
			return fmt.Errorf("kind %s: it is about a connection; every registration gets it without asking", kind)
		case family > schema.FamilyConnection:
			return fmt.Errorf("kind %#x: unknown family %d", uint32(kind), family)
		case family != schema.FamilyDomain && reg.Domain != nil:
			return fmt.Errorf("kind %s: only events of domains can be limited to one domain", kind)
		}
	}
	if reg.Domain != nil && reg.Domain.IsZero() {
		return errors.New("the nil uuid names no domain")
	}
	if reg.Callback == nil && reg.Sinks != nil && len(reg.Sinks) == 0 {
		return errors.New("neither sinks nor a callback")
	}
	return nil
}

// entry is one registration in the registry. All but refs and gone is constant.
type entry struct {
	Registration
	id ID
	// refs is 1 for being registered, and 1 for each dispatch loop that may still call
	// Callback. Who takes it to 0 calls Release: nobody else can, since 0 never rises
	// again.
	refs atomic.Int64
	// gone is set by DeregisterAny; it is looked at before each call of Callback.
	gone atomic.Bool
}

// newEntry copies what the caller may change afterwards.
func newEntry(id ID, reg *Registration) *entry {
	e := &entry{Registration: *reg, id: id}
	e.Connections = slices.Clone(reg.Connections)
	e.Kinds = slices.Clone(reg.Kinds)
	slices.Sort(e.Kinds)
	e.Kinds = slices.Compact(e.Kinds)
	if reg.Sinks != nil {
		e.Sinks = append([]string{}, reg.Sinks...)
	}
	if reg.Domain != nil {
		uuid := *reg.Domain
		e.Domain = &uuid
	}
	e.refs.Store(1)
	return e
}

// selects reports whether e is about the connection with that name.
func (e *entry) selects(connection string) bool {
	if len(e.Connections) == 0 {
		return true
	}
	for _, pattern := range e.Connections {
		if ok, err := path.Match(pattern, connection); ok && err == nil {
			return true
		}
	}
	return false
}

// repeats reports whether e is the same callback with the same filter as other.
func (e *entry) repeats(other *entry) bool {
	return e.Callback != nil && other.Callback != nil &&
		slices.Equal(e.Kinds, other.Kinds) &&
		slices.Equal(e.Connections, other.Connections) &&
		(e.Domain == nil) == (other.Domain == nil) &&
		(e.Domain == nil || *e.Domain == *other.Domain) &&
		sameObserver(e.Callback, other.Callback)
}

func sameObserver(a, b Observer) bool {
	// Comparing two interfaces panics if their values cannot be compared.
	return reflect.ValueOf(a).Comparable() && reflect.ValueOf(b).Comparable() && a == b
}

// acquire keeps Release from being called until release; it fails if Release may have
// been called.
func (e *entry) acquire() bool {
	for {
		n := e.refs.Load()
		if n == 0 {
			return false
		}
		if e.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// release gives up one reference and calls Release with the last.
func (e *entry) release() {
	if e.refs.Add(-1) == 0 && e.Release != nil {
		e.Release()
	}
}
