package libvirttest

import (
	"fmt"

	"github.com/virtcast/virtcast/schema"
)

// change runs f with the lock held if the domain is there.
func (d *Domain) change(f func(Flavor) error) error {
	d.server.mu.Lock()
	defer d.server.mu.Unlock()
	if err := d.check(); err != nil {
		return err
	}
	return f(d.server.opts.Flavor)
}

// boot emits what a start emits, and leaves the domain running.
func (d *Domain) boot() {
	d.run(runningBooted)
	d.emit(d.server.opts.Flavor.of(
		[]step{startedBooted},
		[]step{resumedUnpaused, startedBooted})...)
}

func (d *Domain) run(reason int32) {
	if !d.active() {
		d.domain.ID = d.server.takeID()
		d.defined = d.persistent
		d.saved = false
	}
	d.state, d.reason = stateRunning, reason
}

// stop ends a domain that the driver stopped: Stopped, the sequence's last step, comes
// once the process is gone and carries id -1, but for a transient domain of the test
// driver. The steps before it carry the id.
func (d *Domain) stop(reason int32, steps ...step) {
	d.end(reason, d.defined || d.server.opts.Flavor != FlavorTest, steps)
}

// die ends a domain whose process ended by itself: QEMU's driver sends Stopped with the
// old id then.
func (d *Domain) die(reason int32, steps ...step) {
	d.end(reason, d.defined && d.server.opts.Flavor == FlavorTest, steps)
}

func (d *Domain) end(reason int32, forgetID bool, steps []step) {
	last := len(steps) - 1
	d.emit(steps[:last]...)
	d.state, d.reason = stateShutoff, reason
	if forgetID {
		d.domain.ID = -1
	}
	d.emit(steps[last])
	d.domain.ID = -1
	if !d.persistent {
		d.server.remove(d)
	}
}

// Start boots a domain that is shut off. With QEMU, a saved one is restored instead.
func (d *Domain) Start() error { return d.change(d.start) }

func (d *Domain) start(f Flavor) error {
	if d.active() && f == FlavorTest {
		return internalError(fromTest, "Domain '%s' is already running", d.domain.Name)
	}
	if d.active() {
		return invalidOperation(f.origin(), "domain is already running")
	}
	if d.saved && f == FlavorQEMU {
		d.restore(f)
		return nil
	}
	d.boot()
	return nil
}

// StartPaused is virsh start --paused; a saved domain is restored. The test driver
// refuses it.
func (d *Domain) StartPaused() error {
	return d.change(func(f Flavor) error {
		if f == FlavorTest {
			return unsupportedFlags(fromTest, 1, "testDomainCreateWithFlags")
		}
		if d.active() {
			return invalidOperation(f.origin(), "domain is already running")
		}
		started, reason := startedBooted, pausedUser
		if d.saved {
			started, reason = startedRestored, pausedMigration
		}
		d.run(runningBooted)
		d.state, d.reason = statePaused, reason
		d.emit(started, suspendedPaused)
		return nil
	})
}

// Suspend pauses a running domain.
func (d *Domain) Suspend() error { return d.change(d.suspend) }

func (d *Domain) suspend(f Flavor) error {
	if err := d.require(f, stateRunning, "running"); err != nil {
		return err
	}
	d.state, d.reason = statePaused, pausedUser
	d.emit(suspendedPaused)
	return nil
}

// Resume lets a paused domain run.
func (d *Domain) Resume() error { return d.change(d.resume) }

func (d *Domain) resume(f Flavor) error {
	if err := d.require(f, statePaused, "paused"); err != nil {
		return err
	}
	d.state, d.reason = stateRunning, runningUnpaused
	d.emit(resumedUnpaused)
	return nil
}

// Shutdown lets the guest power off.
func (d *Domain) Shutdown() error { return d.change(d.shutdown) }

func (d *Domain) shutdown(f Flavor) error {
	if f == FlavorTest && !d.active() {
		return internalError(fromTest, "domain '%s' not running", d.domain.Name)
	}
	if err := d.requireActive(); err != nil {
		return err
	}
	d.die(shutoffShutdown, f.of([]step{stoppedShutdown}, []step{shutdownGuest, stoppedShutdown})...)
	return nil
}

// Destroy stops the domain at once.
func (d *Domain) Destroy() error { return d.change(d.destroy) }

func (d *Domain) destroy(f Flavor) error {
	if err := d.requireActive(); err != nil {
		return err
	}
	d.stop(shutoffDestroyed, f.of([]step{stoppedDestroyed}, []step{shutdownHost, stoppedDestroyed})...)
	return nil
}

// Crash is a panic of the guest, whose domain is destroyed for it (virsh dump --crash in
// the test driver).
func (d *Domain) Crash() error {
	return d.change(func(f Flavor) error {
		if err := d.requireActive(); err != nil {
			return err
		}
		d.stop(shutoffCrashed, f.of([]step{stoppedCrashed}, []step{crashedPanicked, stoppedCrashed})...)
		return nil
	})
}

// Kill is kill -9 of the emulator. The test driver has none.
func (d *Domain) Kill() error {
	return d.change(func(f Flavor) error {
		if f == FlavorTest {
			return noSupport(fromTest, "kill")
		}
		if err := d.requireActive(); err != nil {
			return err
		}
		d.die(shutoffCrashed, stoppedFailed)
		return nil
	})
}

// Save stops the domain and keeps its memory (virsh managedsave).
func (d *Domain) Save() error {
	return d.change(func(f Flavor) error {
		if err := d.requireActive(); err != nil {
			return err
		}
		steps := []step{stoppedSaved}
		if f == FlavorQEMU && d.state == stateRunning {
			steps = []step{suspendedPaused, stoppedSaved}
		}
		d.saved, d.savedPaused = d.persistent, d.state == statePaused
		d.stop(shutoffSaved, steps...)
		return nil
	})
}

// Restore starts a saved domain from its memory. Whether it was saved is not checked. A
// transient domain that is gone comes back, since its saved image holds its definition.
func (d *Domain) Restore() error {
	s := d.server
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.opts.Flavor
	switch {
	case s.closed:
		return ErrServerClosed
	case d.active():
		return invalidOperation(f.origin(), "domain is already running")
	case d.gone:
		if _, err := s.lookUp(d.domain.Name, d.domain.UUID); err != nil {
			return err
		}
		d.gone = false
		s.add(d)
	}
	d.restore(f)
	return nil
}

// restore leaves the domain as it was saved: a paused one of QEMU stays paused.
func (d *Domain) restore(f Flavor) {
	d.run(runningRestored)
	switch {
	case f != FlavorQEMU:
		d.emit(startedRestored)
	case d.savedPaused:
		d.state, d.reason = statePaused, pausedMigration
		d.emit(startedRestored, suspendedRestored)
	default:
		d.emit(startedRestored, resumedSnapshot)
	}
}

// Rename gives a domain that is shut off another name.
func (d *Domain) Rename(name string) error {
	return d.change(func(f Flavor) error {
		if d.active() {
			return invalidOperation(f.origin(), "cannot rename active domain")
		}
		if d.server.byName(name) != nil {
			return remoteError(codeOperationInvalid, f.origin(), "Requested operation is not valid: %s",
				"domain with name '%s' already exists", name)
		}
		d.emit(undefinedRenamed)
		d.domain.Name = name
		d.emit(definedRenamed)
		return nil
	})
}

// Undefine removes the definition. A domain that runs goes on as a transient one; else it
// is gone.
func (d *Domain) Undefine() error { return d.change(d.undefine) }

func (d *Domain) undefine(f Flavor) error {
	if !d.persistent {
		return invalidOperation(f.origin(), "cannot undefine transient domain")
	}
	d.persistent = false
	d.emit(undefinedRemoved)
	if !d.active() {
		d.server.remove(d)
	}
	return nil
}

// PMSuspend is the guest's own suspend to memory, PMWakeup its end. The test driver has
// neither.
func (d *Domain) PMSuspend() error {
	return d.change(func(f Flavor) error {
		if f == FlavorTest {
			return noSupport(fromNone, "virDomainPMSuspendForDuration")
		}
		if err := d.require(f, stateRunning, "running"); err != nil {
			return err
		}
		d.state, d.reason = statePMSuspended, 0
		d.emit(pmSuspendedMemory)
		return nil
	})
}

// PMWakeup wakes a domain after [Domain.PMSuspend].
func (d *Domain) PMWakeup() error {
	return d.change(func(f Flavor) error {
		if f == FlavorTest {
			return noSupport(fromNone, "virDomainPMWakeup")
		}
		if err := d.require(f, statePMSuspended, "suspended"); err != nil {
			return err
		}
		d.state, d.reason = stateRunning, runningWakeup
		d.emit(startedWakeup)
		return nil
	})
}

// MigrateOut is the source's half of a live migration. With undefineSource the definition
// is gone afterwards, and as in QEMU's driver there is no Undefined event. The test
// driver cannot migrate.
func (d *Domain) MigrateOut(undefineSource bool) error {
	return d.change(func(f Flavor) error {
		if f == FlavorTest {
			return noSupport(fromNone, "virDomainMigrateToURI3")
		}
		if err := d.require(f, stateRunning, "running"); err != nil {
			return err
		}
		if undefineSource {
			d.persistent = false
		}
		d.stop(shutoffMigrated, suspendedMigrated, stoppedMigrated)
		return nil
	})
}

// MigrateIn is the destination's half of a live migration: the domain appears running;
// with persistent it is defined too. It comes before the source's half, as on real hosts.
// The domain may be known and shut off.
func (s *Server) MigrateIn(name string, uuid schema.UUID, persistent bool) (*Domain, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opts.Flavor == FlavorTest {
		return nil, noSupport(fromNone, "virDomainMigratePrepare3Params")
	}
	d, err := s.lookUp(name, uuid)
	if err != nil {
		return nil, err
	}
	if d == nil {
		d = &Domain{domain: schema.Object{UUID: uuid, Name: name, ID: -1}, state: stateShutoff}
		s.add(d)
	}
	if d.active() {
		return nil, invalidOperation(fromQEMU, "domain is already running")
	}
	d.run(runningMigrated)
	d.emit(startedMigrated)
	if persistent {
		what := definedAdded
		if d.persistent {
			what = definedUpdated
		}
		d.persistent, d.defined = true, true
		d.emit(what)
	}
	d.emit(resumedMigrated)
	return d, nil
}

// require returns an error if the state is another.
func (d *Domain) require(f Flavor, state int32, word string) error {
	if d.state == state {
		return nil
	}
	if f == FlavorTest {
		return internalError(fromTest, "domain '%s' not %s", d.domain.Name, word)
	}
	if err := d.requireActive(); err != nil {
		return err
	}
	return invalidOperation(f.origin(), fmt.Sprintf("domain is not %s", word))
}

// requireActive is virDomainObjCheckActive, whose errors come from no driver.
func (d *Domain) requireActive() error {
	if !d.active() {
		return invalidOperation(fromDomain, "domain is not running")
	}
	return nil
}
