package libvirttest

import (
	"slices"

	"github.com/virtcast/virtcast/drivers/libvirt/wire"
	"github.com/virtcast/virtcast/schema"
)

// Domain is a domain of a [Server]. Its methods change its state and emit the events that
// the flavor's driver emits, in one step as seen by clients. They return an error, a
// [*wire.RemoteError] as the daemon would send it, where the driver refuses. They never
// block on a client. Safe for concurrent use.
type Domain struct {
	server *Server

	// Guarded by server.mu.
	domain        schema.Object
	state, reason int32
	persistent    bool
	// defined says that the domain had a persistent definition at some time since it was
	// started: such a one has id -1 in Stopped even in the test driver.
	defined            bool
	saved, savedPaused bool
	gone               bool
}

// TestDomainUUID is the UUID of the domain "test" of test:///default.
var TestDomainUUID = schema.UUID{
	0x66, 0x95, 0xeb, 0x01, 0xf6, 0xa4, 0x83, 0x04, 0x79, 0xaa, 0x97, 0xf2, 0x50, 0x2e, 0x19, 0x3f,
}

// addTestDomain is called with s.mu held.
func (s *Server) addTestDomain() {
	s.add(&Domain{
		domain: schema.Object{UUID: TestDomainUUID, Name: "test", ID: s.takeID()},
		state:  stateRunning, persistent: true, defined: true,
	})
}

func (s *Server) add(d *Domain) {
	d.server = s
	s.domains = append(s.domains, d)
	s.byUUID[d.domain.UUID] = d
}

func (s *Server) remove(d *Domain) {
	d.gone = true
	delete(s.byUUID, d.domain.UUID)
	if i := slices.Index(s.domains, d); i >= 0 {
		s.domains = slices.Delete(s.domains, i, i+1)
	}
}

// takeID returns the next id of a running domain.
func (s *Server) takeID() int32 {
	s.lastID++
	return s.lastID
}

// Domain returns the domain with that UUID.
func (s *Server) Domain(uuid schema.UUID) (*Domain, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, ok := s.byUUID[uuid]
	return d, ok
}

// Domains returns all domains, by age.
func (s *Server) Domains() []*Domain {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.domains)
}

// Define makes or redefines a persistent domain: Defined, added or updated.
func (s *Server) Define(name string, uuid schema.UUID) (*Domain, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.lookUp(name, uuid)
	if err != nil {
		return nil, err
	}
	what := definedUpdated
	if d == nil {
		d = &Domain{
			domain: schema.Object{UUID: uuid, Name: name, ID: -1},
			state:  stateShutoff, reason: shutoffUnknown,
		}
		s.add(d)
	}
	if !d.persistent {
		what = definedAdded
	}
	d.persistent, d.defined = true, true
	d.emit(what)
	return d, nil
}

// Create starts a transient domain, or a defined one that is shut off, like virsh create.
// Its events are those of [Domain.Start].
func (s *Server) Create(name string, uuid schema.UUID) (*Domain, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.lookUp(name, uuid)
	if err != nil {
		return nil, err
	}
	if d == nil {
		d = &Domain{domain: schema.Object{UUID: uuid, Name: name, ID: -1}, state: stateShutoff}
		s.add(d)
	}
	if d.active() {
		return nil, remoteError(codeOperationFailed, s.opts.Flavor.origin(), "operation failed: %s",
			"domain '%s' already exists with uuid %s", name, uuid)
	}
	d.boot()
	return d, nil
}

// lookUp returns the domain with that UUID, nil if there is none, and an error if name
// and uuid belong to different domains. Called with s.mu held.
func (s *Server) lookUp(name string, uuid schema.UUID) (*Domain, error) {
	from := s.opts.Flavor.origin()
	if s.closed {
		return nil, ErrServerClosed
	}
	if d, ok := s.byUUID[uuid]; ok {
		if d.domain.Name != name {
			return nil, remoteError(codeOperationFailed, from, "operation failed: %s",
				"domain '%s' is already defined with uuid %s", d.domain.Name, uuid)
		}
		return d, nil
	}
	if other := s.byName(name); other != nil {
		return nil, remoteError(codeOperationFailed, from, "operation failed: %s",
			"domain '%s' already exists with uuid %s", name, other.domain.UUID)
	}
	return nil, nil
}

func (s *Server) byName(name string) *Domain {
	for _, d := range s.domains {
		if d.domain.Name == name {
			return d
		}
	}
	return nil
}

// State returns the domain and its state as a list of the server has them.
func (d *Domain) State() schema.ListedDomain {
	d.server.mu.Lock()
	defer d.server.mu.Unlock()
	return d.stateLocked()
}

func (d *Domain) stateLocked() schema.ListedDomain {
	return schema.ListedDomain{Object: d.domain, State: d.state, Reason: d.reason}
}

// UUID returns the domain's UUID.
func (d *Domain) UUID() schema.UUID { return d.domain.UUID }

// Persistent reports whether the domain has a definition.
func (d *Domain) Persistent() bool {
	d.server.mu.Lock()
	defer d.server.mu.Unlock()
	return d.persistent
}

// Emit sends one lifecycle event of the domain with any numbers, and changes nothing.
func (d *Domain) Emit(event, detail int32) {
	d.server.mu.Lock()
	defer d.server.mu.Unlock()
	d.emit(step{event, detail})
}

// active reports whether the domain has a process. Like all that follows, it is called
// with server.mu held.
func (d *Domain) active() bool { return d.state != stateShutoff }

func (d *Domain) emit(steps ...step) {
	for _, st := range steps {
		d.server.emitLifecycle(d.domain, st.event, st.detail)
	}
}

// check returns the error of a call that names a domain which is gone, or on a closed
// server.
func (d *Domain) check() error {
	if d.server.closed {
		return ErrServerClosed
	}
	if d.gone {
		return noMatchingDomain(d.server.opts.Flavor.origin(), d.domain)
	}
	return nil
}

func noMatchingDomain(from int32, d schema.Object) *wire.RemoteError {
	return remoteError(wire.CodeNoDomain, from, "Domain not found: %s",
		"no domain with matching uuid '%s' (%s)", d.UUID, d.Name)
}
