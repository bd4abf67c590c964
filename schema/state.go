package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// The states that virtcast concludes from events. The numbers are those of
// virDomainState.
const (
	// StateUnknown means that no virDomainState is known. libvirt has no such number.
	StateUnknown     int32 = -1
	StateRunning     int32 = 1
	StatePaused      int32 = 3
	StateShutdown    int32 = 4 // being shut down
	StateShutoff     int32 = 5
	StateCrashed     int32 = 6
	StatePMSuspended int32 = 7
)

// Persistence says whether a domain outlives being stopped.
type Persistence uint8

// The values of Persistence.
const (
	PersistenceUnknown Persistence = iota
	Persistent
	NotPersistent
)

// State is what is known of a domain after an event, by the rules of docs/state.md. It is
// not part of the event's own CloudEvent. [Event.StateEvent] makes a CloudEvent of it.
type State struct {
	// Valid is set for every lifecycle event of a domain, also if the event does not change
	// the state. It is not set where another source has the same domain and takes
	// precedence, nor for a domain with the nil UUID. All other fields are zero then.
	Valid bool
	// Code is a virDomainState, or [StateUnknown]. Reason is the reason of that state, or
	// 0 if it is not known.
	Code, Reason int32
	Persistence  Persistence
	// Gone is set where the domain no longer exists: it is neither defined nor active.
	Gone bool
}

// KindState is the kind of the CloudEvents in a state store: a domain's last known state.
// No hypervisor sends it, and a registration cannot ask for it. See [Event.StateEvent].
const KindState = Kind(FamilyDomain)<<24 | 0xffffff

// stateRow is the row of KindState. Its number would make the table of kinds long.
var stateRow = kindRow{
	name:   "state",
	schema: SchemaState,
	types:  typesOf("org.libvirt.domain.state", nil),
}

// StateEvent returns the event of [KindState] that has e's State, for a state store. It
// has e's id, sequences, time and domain. e.State must be valid.
func (e *Event) StateEvent() Event {
	state := *e
	state.Kind, state.Observation.Event, state.Detail = KindState, 0, 0
	return state
}

// appendState appends the data members of [KindState].
func appendState(dst []byte, s State) []byte {
	dst = append(dst, `,"state":"`...)
	dst = append(dst, StateName(s.Code)...)
	dst = append(dst, `","stateCode":`...)
	dst = strconv.AppendInt(dst, int64(s.Code), 10)
	if s.Reason != 0 {
		dst = append(dst, `,"reason":"`...)
		dst = append(dst, ReasonName(s.Code, s.Reason)...)
		dst = append(dst, `","reasonCode":`...)
		dst = strconv.AppendInt(dst, int64(s.Reason), 10)
	}
	switch s.Persistence {
	case Persistent:
		dst = append(dst, `,"persistent":true`...)
	case NotPersistent:
		dst = append(dst, `,"persistent":false`...)
	case PersistenceUnknown:
	}
	return dst
}

// decodeState reads the data members of [KindState].
func decodeState(data []byte) (State, error) {
	var d struct {
		State      string `json:"state"`
		StateCode  *int32 `json:"stateCode"`
		Reason     string `json:"reason"`
		ReasonCode int32  `json:"reasonCode"`
		Persistent *bool  `json:"persistent"`
	}
	if err := json.Unmarshal(data, &d); err != nil {
		return State{}, err
	}
	if d.StateCode == nil {
		return State{}, errors.New("no stateCode")
	}
	s := State{Valid: true, Code: *d.StateCode, Reason: d.ReasonCode}
	if name := StateName(s.Code); name != unknown && d.State != name && d.State != unknown {
		return State{}, fmt.Errorf("state %.40q is not that of number %d", d.State, s.Code)
	}
	if name := ReasonName(s.Code, s.Reason); name != unknown && d.Reason != name && d.Reason != unknown {
		return State{}, fmt.Errorf("reason %.40q is not that of number %d", d.Reason, s.Reason)
	}
	if d.Persistent != nil {
		s.Persistence = NotPersistent
		if *d.Persistent {
			s.Persistence = Persistent
		}
	}
	return s, nil
}
