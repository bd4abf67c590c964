package libvirttest

// Flavor is the driver whose event sequences the domains emit.
type Flavor int

// The flavors.
const (
	// FlavorTest is the test driver: one event for each change. It knows no paused start,
	// no migration, no power management and no panic.
	FlavorTest Flavor = iota
	// FlavorQEMU is the QEMU driver: Resumed before Started, Shutdown before Stopped, and
	// so on.
	FlavorQEMU
)

func (f Flavor) defaultURI() string {
	if f == FlavorQEMU {
		return "qemu:///system"
	}
	return "test:///default"
}

func (f Flavor) defaultVersion() uint64 {
	if f == FlavorQEMU {
		return 7_002_000
	}
	return 2
}

// typeName is the answer to virConnectGetType.
func (f Flavor) typeName() string {
	if f == FlavorQEMU {
		return "QEMU"
	}
	return "TEST"
}

// origin is the virErrorDomain of the driver's errors.
func (f Flavor) origin() int32 {
	if f == FlavorQEMU {
		return fromQEMU
	}
	return fromTest
}

// function is the name of a driver's function as its errors print it.
func (f Flavor) function(name string) string {
	if f == FlavorQEMU {
		return "qemu" + name
	}
	return "test" + name
}

// Domain states (virDomainState) and the reasons in use.
const (
	stateRunning     int32 = 1
	statePaused      int32 = 3
	stateShutoff     int32 = 5
	statePMSuspended int32 = 7

	runningBooted   int32 = 1
	runningMigrated int32 = 2
	runningRestored int32 = 3
	runningUnpaused int32 = 5
	runningWakeup   int32 = 8

	pausedUser      int32 = 1
	pausedMigration int32 = 2

	shutoffUnknown   int32 = 0
	shutoffShutdown  int32 = 1
	shutoffDestroyed int32 = 2
	shutoffCrashed   int32 = 3
	shutoffMigrated  int32 = 4
	shutoffSaved     int32 = 5
)

// step is one lifecycle event of a sequence: virDomainEventType and its detail.
type step struct{ event, detail int32 }

// The lifecycle events in use.
var (
	definedAdded      = step{0, 0}
	definedUpdated    = step{0, 1}
	definedRenamed    = step{0, 2}
	undefinedRemoved  = step{1, 0}
	undefinedRenamed  = step{1, 1}
	startedBooted     = step{2, 0}
	startedMigrated   = step{2, 1}
	startedRestored   = step{2, 2}
	startedWakeup     = step{2, 4}
	suspendedPaused   = step{3, 0}
	suspendedMigrated = step{3, 1}
	suspendedRestored = step{3, 4}
	resumedUnpaused   = step{4, 0}
	resumedMigrated   = step{4, 1}
	resumedSnapshot   = step{4, 2}
	stoppedShutdown   = step{5, 0}
	stoppedDestroyed  = step{5, 1}
	stoppedCrashed    = step{5, 2}
	stoppedMigrated   = step{5, 3}
	stoppedSaved      = step{5, 4}
	stoppedFailed     = step{5, 5}
	shutdownGuest     = step{6, 1}
	shutdownHost      = step{6, 2}
	pmSuspendedMemory = step{7, 0}
	crashedPanicked   = step{8, 0}
)

// of returns the sequence for the flavor.
func (f Flavor) of(test, qemu []step) []step {
	if f == FlavorQEMU {
		return qemu
	}
	return test
}
