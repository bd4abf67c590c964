package domains

import "github.com/virtcast/virtcast/schema"

// The values of schema.Persistence.
const (
	persistenceUnknown = schema.PersistenceUnknown
	persistent         = schema.Persistent
	notPersistent      = schema.NotPersistent
)

// presence is how far a domain is there at one source, as the events tell it.
type presence uint8

const (
	unseen     presence = iota // nothing tells whether it is active
	absent                     // gone: neither defined nor active
	inactive                   // defined, as far as is known, and not active
	active                     //
	incoming                   // a migration to here is under way
	outgoing                   // a migration from here is under way: it does not run here any more
	superseded                 // was active, and has become active at another source since
	presences                  // how many there are
)

// knowledge is what is known of a domain at one source. The zero value is not "nothing":
// see [nothing].
type knowledge struct {
	// code and reason are a virDomainState and its reason, as in [schema.State].
	code, reason int32
	persistence  schema.Persistence
	presence     presence
}

// nothing is what is known of a domain before its first event.
var nothing = knowledge{code: schema.StateUnknown}

// giveUpUnsure gives up what may have become wrong while the source was not observed. A
// domain that was gone, or not persistent, may have been defined. That a domain was
// persistent, or active, is kept: if it is wrong, a state is out of date. The opposite
// mistake would remove a domain that exists.
func (k *knowledge) giveUpUnsure() {
	if k.presence == absent {
		*k = nothing
	}
	if k.persistence == notPersistent {
		k.persistence = persistenceUnknown
	}
}

// isHere reports whether the domain has an id at this source, as far as is known.
func (k *knowledge) isHere() bool {
	return k.presence == active || k.presence == incoming || k.presence == outgoing
}

// state is what is published of k.
func (k *knowledge) state() schema.State {
	return schema.State{
		Valid: true, Code: k.code, Reason: k.reason, Persistence: k.persistence, Gone: k.presence == absent,
	}
}

// context is what a rule may look at beside what is known.
type context struct {
	// id is the domain's number in the event: -1 while it is inactive.
	id int32
	// sure is set when nothing can have been missed since the domain's event before.
	sure bool
}

// change is what an event does to what is known.
type change func(k *knowledge, c context)

// rise makes the domain active. One that was gone is not persistent, and stays so: it was
// not defined since.
func (k *knowledge) rise(code, reason int32, p presence) {
	k.code, k.reason, k.presence = code, reason, p
}

// becomes is a change to an active state.
func becomes(code, reason int32) change {
	return func(k *knowledge, _ context) { k.rise(code, reason, active) }
}

// moves is a change to a state in the course of a migration.
func moves(p presence, reason int32) change {
	return func(k *knowledge, _ context) { k.rise(schema.StatePaused, reason, p) }
}

// stops is the end of a domain's activity: a domain that is not defined is gone with it.
func stops(reason int32) change {
	return func(k *knowledge, _ context) {
		k.code, k.reason, k.presence = schema.StateShutoff, reason, inactive
		if k.persistence == notPersistent {
			k.presence = absent
		}
	}
}

// stopsMigrated is the end at the source of a migration, which may have removed the
// definition without a word (--undefinesource).
func stopsMigrated(k *knowledge, c context) {
	stops(shutoffMigrated)(k, c)
	if k.persistence == persistent {
		k.persistence = persistenceUnknown
	}
}

// resumesMigrated is a migration's end at its destination, or at its source when it was
// given up.
func resumesMigrated(k *knowledge, _ context) {
	reason := int32(0)
	if k.presence == incoming {
		reason = runningMigrated
	}
	if k.presence == outgoing {
		reason = runningMigrationCanceled
	}
	k.rise(schema.StateRunning, reason, active)
}

// resumesFromSnapshot comes behind Started/Restored, too.
func resumesFromSnapshot(k *knowledge, _ context) {
	reason := runningFromSnapshot
	if k.presence == active && k.code == schema.StateRunning && k.reason == runningRestored {
		reason = runningRestored
	}
	k.rise(schema.StateRunning, reason, active)
}

// defines makes the domain persistent. It may be active all the while, which its id
// tells; where it was superseded, the event is older than what superseded it.
func defines(k *knowledge, c context) {
	here := c.id >= 0 || c.sure && k.isHere()
	switch {
	case here && !k.isHere() && k.presence != superseded:
		k.code, k.reason, k.presence = schema.StateUnknown, 0, active
	case !here && k.presence != inactive:
		k.code, k.reason, k.presence = schema.StateShutoff, 0, inactive
	}
	k.persistence = persistent
}

// undefines takes the definition away: an active domain stays until it stops, any other
// is gone.
func undefines(k *knowledge, c context) {
	here := c.id >= 0 || c.sure && k.isHere()
	switch {
	case here && !k.isHere() && k.presence != superseded:
		k.code, k.reason, k.presence = schema.StateUnknown, 0, active
	case !here:
		if k.code != schema.StateShutoff {
			k.code, k.reason = schema.StateShutoff, 0
		}
		k.presence = absent
	}
	k.persistence = notPersistent
}

// keeps is a change to nothing.
func keeps(*knowledge, context) {}
