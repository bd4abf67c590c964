package domains

import "github.com/virtcast/virtcast/schema"

// anyDetail stands in a rule for every detail without a rule of its own: those of later
// hypervisors.
const anyDetail = -1

// rule says what one lifecycle event tells of the state.
type rule struct {
	event, detail int32
	change        change
}

// rules are the rules. An event without one leaves the state as it was: so do kinds other
// than lifecycle. A reason is given where the detail tells it, and is 0 where hypervisors
// send one detail for several reasons.
var rules = []rule{
	// A running domain may be defined and redefined: the id tells whether it runs.
	{eventDefined, anyDetail, defines},

	{eventUndefined, 0, undefines}, // removed
	// renamed: Defined/Renamed follows, with the same UUID. A later detail may mean as
	// little as that one.
	{eventUndefined, anyDetail, keeps},

	{eventStarted, 0, becomes(schema.StateRunning, runningBooted)},
	// migrated: the destination's first event, at the beginning of the migration. Nothing
	// runs there before Resumed.
	{eventStarted, 1, moves(incoming, 0)},
	// restored, from a snapshot: QEMU says at once whether it is running or paused
	// (Resumed, Suspended). Without either the domain runs.
	{eventStarted, 2, becomes(schema.StateRunning, runningRestored)},
	{eventStarted, 3, becomes(schema.StateRunning, runningFromSnapshot)},
	{eventStarted, 4, becomes(schema.StateRunning, runningWakeup)},
	// recreated: no virDomainRunningReason means that.
	{eventStarted, anyDetail, becomes(schema.StateRunning, 0)},

	// paused: QEMU sends this for user, save, dump, snapshot, crashed and others.
	{eventSuspended, 0, becomes(schema.StatePaused, 0)},
	{eventSuspended, 1, moves(outgoing, pausedMigration)},
	{eventSuspended, 2, becomes(schema.StatePaused, pausedIOError)},
	{eventSuspended, 3, becomes(schema.StatePaused, pausedWatchdog)},
	{eventSuspended, 5, becomes(schema.StatePaused, pausedFromSnapshot)},
	{eventSuspended, 6, becomes(schema.StatePaused, pausedAPIError)},
	// postcopy: at the source; the guest runs at the destination, or nowhere if that has
	// failed.
	{eventSuspended, 7, moves(outgoing, pausedPostcopy)},
	{eventSuspended, 8, moves(outgoing, pausedPostcopyFailed)},
	// restored: paused as it was saved, for a reason that is not told.
	{eventSuspended, anyDetail, becomes(schema.StatePaused, 0)},

	// unpaused: QEMU sends this for booted, unpaused, save-canceled, wakeup and crashed.
	{eventResumed, 0, becomes(schema.StateRunning, 0)},
	{eventResumed, 1, resumesMigrated},
	{eventResumed, 2, resumesFromSnapshot},
	// postcopy: at the destination.
	{eventResumed, 3, becomes(schema.StateRunning, runningPostcopy)},
	{eventResumed, 4, becomes(schema.StateRunning, runningPostcopyFailed)},
	{eventResumed, anyDetail, becomes(schema.StateRunning, 0)},

	{eventStopped, 0, stops(shutoffShutdown)},
	{eventStopped, 1, stops(shutoffDestroyed)},
	{eventStopped, 2, stops(shutoffCrashed)},
	{eventStopped, 3, stopsMigrated},
	{eventStopped, 4, stops(shutoffSaved)},
	{eventStopped, 6, stops(shutoffFromSnapshot)},
	// failed: QEMU sends this where the state's reason is crashed (the emulator was
	// killed), and where it is failed. recreated: no virDomainShutoffReason means that.
	{eventStopped, anyDetail, stops(0)},

	// Being shut down, by the host or the guest; Stopped follows.
	{eventShutdown, anyDetail, becomes(schema.StateShutdown, 0)},

	{eventPMSuspended, anyDetail, becomes(schema.StatePMSuspended, 0)},

	{eventCrashed, 0, becomes(schema.StateCrashed, crashedPanicked)},
	// crashloaded: the guest runs its crash kernel; libvirt's state stays. A later detail
	// may mean as little.
	{eventCrashed, anyDetail, keeps},
}

// rulesByEvent has the rules by event and detail; the first of an event is that for any
// other detail.
var rulesByEvent = indexRules()

func indexRules() [][]change {
	var index [][]change
	for _, r := range rules {
		for len(index) <= int(r.event) {
			index = append(index, []change{keeps})
		}
		of := index[r.event]
		for len(of) <= int(r.detail)+1 {
			of = append(of, nil)
		}
		of[r.detail+1] = r.change
		index[r.event] = of
	}
	return index
}

// ruleOf returns what a lifecycle event does to what is known.
func ruleOf(event, detail int32) change {
	if uint32(event) >= uint32(len(rulesByEvent)) {
		return keeps
	}
	of := rulesByEvent[event]
	if uint32(detail) < uint32(len(of)-1) {
		if c := of[detail+1]; c != nil {
			return c
		}
	}
	return of[0]
}
