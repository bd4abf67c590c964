package drivertest

import (
	"testing"
	"time"

	"github.com/virtcast/virtcast/drivers"
	"github.com/virtcast/virtcast/schema"
)

// Harness is what the suite needs of a driver's author.
type Harness struct {
	// New starts a hypervisor of the test's own, which ends with the test.
	New func(t *testing.T) Hypervisor
	// Silence is within what time the driver, as New configures it, promises to notice a
	// dead peer. Short is welcome.
	Silence time.Duration
	// Patience is how long the suite waits for what should take a moment; 0 is 20 s.
	Patience time.Duration
}

// Hypervisor is the other end of a driver. Its methods may be called by several
// goroutines.
type Hypervisor interface {
	// Driver returns a driver that opens sessions with this hypervisor.
	Driver() drivers.Driver
	// Domains returns two domains that exist.
	Domains() (a, b schema.Object)

	// Emit sends a lifecycle event with any numbers to every session that watches it. It
	// does not wait until it is read.
	Emit(domain schema.UUID, event, detail int32)
	// EmitBeforeReply makes every later registration see a lifecycle event before it is
	// answered.
	EmitBeforeReply(domain schema.UUID, event, detail int32)
	// EmitStale sends a lifecycle event that no filter asks for any more.
	EmitStale(event, detail int32)
	// EmitUndecodable sends a lifecycle event that cannot be decoded, the stream staying
	// in step.
	EmitUndecodable()
	// EmitLongName sends a lifecycle event of a domain whose name has 100,000 bytes.
	EmitLongName()
	// Refused returns a kind that the hypervisor does not have.
	Refused() schema.Kind
	// RefuseWatch makes the hypervisor fail to register, for a reason that may pass, or
	// succeed again.
	RefuseWatch(refuse bool)

	// Sessions returns what the hypervisor knows of its open sessions, the oldest first.
	Sessions() []Peer
	// Connections returns how many connections were made so far, refused ones included.
	Connections() int
	// Refuse makes the hypervisor refuse connections, or accept them again.
	Refuse(refuse bool)
	// Mute makes the hypervisor accept connections and say nothing on them.
	Mute()
	// Cut ends every session without a word.
	Cut()
	// Derail sends to every session what puts its stream out of step.
	Derail()
	// Stall makes the hypervisor silent on every session, as a host that lost its power.
	Stall()
}

// Peer is a session as the hypervisor sees it.
type Peer struct {
	// ReadOnly is whether it was opened read-only.
	ReadOnly bool
	// Watched is how many filters the hypervisor sends events for.
	Watched int
}
