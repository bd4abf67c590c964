package registry

import (
	"context"
	"time"

	"github.com/virtcast/virtcast/schema"
)

// Driver opens a session with the hypervisor of one connection. Package drivers
// lists what a driver owes.
type Driver interface {
	// Open connects, authenticates, and learns the identity of the hypervisor. It
	// blocks until then or until ctx ends, which ends only the opening, not the session. observe is
	// called from one goroutine, in the order of the wire, from the first RegisterAny on until
	// the session is done; it must not block. The slice belongs to the driver and is
	// valid during the call; what it points to (strings, Connection) may be kept.
	Open(ctx context.Context, observe func([]schema.Observation)) (Session, error)
}

// Session is one open connection.
type Session interface {
	// Connection returns the identity: the same pointer for as long as the session lives.
	Connection() *schema.Connection
	// RegisterAny asks the hypervisor for events of a kind, of every domain or, with a
	// non-nil domain, of that one (which need not exist). At most one callback
	// may live for the same kind and domain. It returns the callback's id: 0 is valid, and ids
	// are unique within the session and family only.
	RegisterAny(ctx context.Context, kind schema.Kind, domain *schema.UUID) (callbackID int32, err error)
	// DeregisterAny ends a callback. Once it has returned, no observation comes from it.
	DeregisterAny(ctx context.Context, kind schema.Kind, callbackID int32) error
	// Domains lists every domain, running or not, with its state and reason.
	Domains(ctx context.Context) ([]schema.ListedDomain, error)
	// Done is closed when the session is lost or closed.
	Done() <-chan struct{}
	// Err says why, once Done is closed; nil if Close was called.
	Err() error
	// Close ends the session and waits for its goroutines. It may be called twice.
	Close() error
}

// LastHeard is implemented by sessions that know when their peer last said
// anything, keepalive included: since then, at the latest, a lost session may have missed events.
// Without it a gap starts when the loss is noticed.
type LastHeard interface {
	// LastHeard returns the time at which the last frame was read; zero for never.
	LastHeard() time.Time
}

// DriverOf makes a [Driver] of an Open that returns a concrete session, so that
// drivers need not know this package.
func DriverOf[S Session](open func(ctx context.Context, observe func([]schema.Observation)) (S, error)) Driver {
	return openFunc[S](open)
}

type openFunc[S Session] func(ctx context.Context, observe func([]schema.Observation)) (S, error)

// Open calls open.
func (open openFunc[S]) Open(ctx context.Context, observe func([]schema.Observation)) (Session, error) {
	s, err := open(ctx, observe)
	if err != nil {
		return nil, err // Not s: a nil *S would be a Session that is not nil.
	}
	return s, nil
}
