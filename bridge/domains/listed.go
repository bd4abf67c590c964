package domains

import "github.com/virtcast/virtcast/schema"

// stateBlocked is a state of a listing that no event tells.
const stateBlocked int32 = 2

// detailUnknown is the detail of an event that was not seen, and whose cause no listing
// tells. libvirt has no such number.
const detailUnknown int32 = -1

// The details of the events that a listing leads to.
const (
	detailStartedBooted       int32 = 0
	detailStartedMigrated     int32 = 1
	detailStartedRestored     int32 = 2
	detailStartedFromSnapshot int32 = 3
	detailStartedWakeup       int32 = 4

	detailResumedUnpaused       int32 = 0
	detailResumedMigrated       int32 = 1
	detailResumedFromSnapshot   int32 = 2
	detailResumedPostcopy       int32 = 3
	detailResumedPostcopyFailed int32 = 4

	detailSuspendedPaused         int32 = 0
	detailSuspendedMigrated       int32 = 1
	detailSuspendedIOError        int32 = 2
	detailSuspendedWatchdog       int32 = 3
	detailSuspendedFromSnapshot   int32 = 5
	detailSuspendedAPIError       int32 = 6
	detailSuspendedPostcopy       int32 = 7
	detailSuspendedPostcopyFailed int32 = 8

	detailStoppedShutdown     int32 = 0
	detailStoppedDestroyed    int32 = 1
	detailStoppedCrashed      int32 = 2
	detailStoppedMigrated     int32 = 3
	detailStoppedSaved        int32 = 4
	detailStoppedFailed       int32 = 5
	detailStoppedFromSnapshot int32 = 6
)

// listedRow says which event leads to a listed state: event, with the detail of the
// reason. A domain that was not active is started first, with first's detail; nil where
// it is not started.
type listedRow struct {
	state   int32
	event   int32
	details map[int32]int32 // by reason
	other   int32           // for any other reason
	first   func(reason int32) int32
}

// listed is the reverse of the rules: which event would have told a listed state.
var listed = []listedRow{
	{
		state: schema.StateRunning, event: eventResumed, other: detailResumedUnpaused,
		details: map[int32]int32{
			runningMigrated:          detailResumedMigrated,
			runningMigrationCanceled: detailResumedMigrated,
			runningFromSnapshot:      detailResumedFromSnapshot,
			runningPostcopy:          detailResumedPostcopy,
			runningPostcopyFailed:    detailResumedPostcopyFailed,
		},
		first: startedByRunning,
	},
	{
		state: schema.StatePaused, event: eventSuspended, other: detailSuspendedPaused,
		details: map[int32]int32{
			pausedMigration:      detailSuspendedMigrated,
			pausedIOError:        detailSuspendedIOError,
			pausedWatchdog:       detailSuspendedWatchdog,
			pausedFromSnapshot:   detailSuspendedFromSnapshot,
			pausedPostcopy:       detailSuspendedPostcopy,
			pausedPostcopyFailed: detailSuspendedPostcopyFailed,
			pausedAPIError:       detailSuspendedAPIError,
		},
		first: startedByPaused,
	},
	{state: schema.StateShutdown, event: eventShutdown, first: startedBooted},
	{
		state: schema.StateShutoff, event: eventStopped, other: detailUnknown,
		details: map[int32]int32{
			shutoffShutdown:     detailStoppedShutdown,
			shutoffDestroyed:    detailStoppedDestroyed,
			shutoffCrashed:      detailStoppedCrashed,
			shutoffMigrated:     detailStoppedMigrated,
			shutoffSaved:        detailStoppedSaved,
			shutoffFailed:       detailStoppedFailed,
			shutoffFromSnapshot: detailStoppedFromSnapshot,
		},
	},
	{state: schema.StateCrashed, event: eventCrashed, first: startedBooted},
	{state: schema.StatePMSuspended, event: eventPMSuspended, first: startedBooted},
}

func (r *listedRow) detail(reason int32) int32 {
	if detail, ok := r.details[reason]; ok {
		return detail
	}
	return r.other
}

// rowOf returns the row of a state; nil where no event leads to it.
func rowOf(state int32) *listedRow {
	for i := range listed {
		if listed[i].state == state {
			return &listed[i]
		}
	}
	return nil
}

func startedBooted(int32) int32 { return detailStartedBooted }

// startedByRunning is the detail with which a running domain was started.
func startedByRunning(reason int32) int32 {
	switch reason {
	case runningMigrated, runningPostcopy, runningPostcopyFailed:
		return detailStartedMigrated
	case runningRestored:
		return detailStartedRestored
	case runningFromSnapshot:
		return detailStartedFromSnapshot
	}
	return detailStartedBooted
}

// startedByPaused is the detail with which a paused domain was started.
func startedByPaused(reason int32) int32 {
	switch reason {
	case pausedMigration:
		return detailStartedMigrated
	case pausedFromSnapshot:
		return detailStartedFromSnapshot
	}
	return detailStartedBooted
}

// codeOf is the state that is known by rules for a listed one: a blocked domain is
// running.
func codeOf(state int32) int32 {
	if state == stateBlocked {
		return schema.StateRunning
	}
	return state
}

// isActive reports whether a listed domain is active.
func isActive(l *schema.ListedDomain) bool {
	switch codeOf(l.State) {
	case schema.StateRunning, schema.StatePaused, schema.StateShutdown, schema.StateCrashed, schema.StatePMSuspended:
		return true
	case schema.StateShutoff:
		return false
	}
	return l.ID >= 0
}

// persistenceOf is what a listing tells of a domain's persistence: one that is there and
// not active is defined.
func persistenceOf(l *schema.ListedDomain) schema.Persistence {
	if l.Persistence == persistenceUnknown && !isActive(l) {
		return persistent
	}
	return l.Persistence
}
