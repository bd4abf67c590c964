package schema

import (
	"strconv"
	"strings"
)

// unknown is the name of a number for which this version has no name. It is used where
// the number itself stands beside it.
const unknown = "unknown"

// unknownPrefix begins the token of a number without a name.
const unknownPrefix = unknown + "-"

// unknownToken returns the word for a number without a name in types, subjects and the
// attribute detail, where the number does not stand beside it: "unknown-42",
// "unknown--1".
func unknownToken(number int32) string {
	return unknownPrefix + strconv.FormatInt(int64(number), 10)
}

// appendToken appends a number's name, or its [unknownToken].
func appendToken(dst []byte, name string, number int32) []byte {
	if name != unknown {
		return append(dst, name...)
	}
	dst = append(dst, unknownPrefix...)
	return strconv.AppendInt(dst, int64(number), 10)
}

// parseUnknown is the reverse of [unknownToken]. It accepts only what unknownToken makes.
func parseUnknown(token string) (int32, bool) {
	digits, ok := strings.CutPrefix(token, unknownPrefix)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(digits, 10, 32)
	if err != nil || unknownToken(int32(n)) != token {
		return 0, false
	}
	return int32(n), true
}

// eventRow is an event number's name and its details' names, by number.
type eventRow struct {
	name    string
	details []string
}

// EventName returns the name of an event number of a kind: the C enum's own
// word in lower case, "started" for VIR_DOMAIN_EVENT_STARTED. It is "unknown"
// for a number without a name, and "" for a kind that has no events.
func EventName(kind Kind, event int32) string {
	row := kind.row()
	if row == nil || row.events == nil {
		return ""
	}
	return eventName(row.events, event)
}

// DetailName returns the name of a detail of an event number of a kind:
// "from-snapshot" for VIR_DOMAIN_EVENT_STARTED_FROM_SNAPSHOT. A detail means
// something only together with its event. It is "unknown" for a number without a
// name, and "" for a kind that has no events.
func DetailName(kind Kind, event, detail int32) string {
	row := kind.row()
	if row == nil || row.events == nil {
		return ""
	}
	return detailName(row.events, event, detail)
}

func eventName(events []eventRow, event int32) string {
	if uint32(event) < uint32(len(events)) {
		return events[event].name
	}
	return unknown
}

func detailName(events []eventRow, event, detail int32) string {
	if uint32(event) < uint32(len(events)) {
		return nameIn(events[event].details, detail)
	}
	return unknown
}

func nameIn(names []string, number int32) string {
	if uint32(number) < uint32(len(names)) {
		return names[number]
	}
	return unknown
}

// lifecycleEvents is virDomainEventType with the detail enum of each type, as of
// libvirt 11.6: libvirt-domain.h, VIR_DOMAIN_EVENT_<TYPE>_<DETAIL>.
var lifecycleEvents = []eventRow{
	0: {"defined", []string{"added", "updated", "renamed", "from-snapshot"}},
	1: {"undefined", []string{"removed", "renamed"}},
	2: {"started", []string{"booted", "migrated", "restored", "from-snapshot", "wakeup", "recreated"}},
	3: {"suspended", []string{
		"paused", "migrated", "ioerror", "watchdog", "restored", "from-snapshot",
		"api-error", "postcopy", "postcopy-failed",
	}},
	4: {"resumed", []string{"unpaused", "migrated", "from-snapshot", "postcopy", "postcopy-failed"}},
	5: {"stopped", []string{
		"shutdown", "destroyed", "crashed", "migrated", "saved", "failed", "from-snapshot", "recreated",
	}},
	6: {"shutdown", []string{"finished", "guest", "host"}},
	7: {"pmsuspended", []string{"memory", "disk"}},
	8: {"crashed", []string{"panicked", "crashloaded"}},
}

// StateName returns the name of a virDomainState, "running" for
// VIR_DOMAIN_RUNNING, or "unknown".
func StateName(state int32) string { return eventName(domainStates, state) }

// ReasonName returns the name of a state's reason, "booted" for
// VIR_DOMAIN_RUNNING_BOOTED. It is "unknown" for a number without a name and for
// reason 0 of most states, which libvirt itself calls unknown.
func ReasonName(state, reason int32) string { return detailName(domainStates, state, reason) }

// domainStates is virDomainState with the reason enum of each state, as of
// libvirt 11.6: libvirt-domain.h, VIR_DOMAIN_<STATE>_<REASON>.
var domainStates = []eventRow{
	0: {"nostate", []string{unknown}},
	1: {"running", []string{
		unknown, "booted", "migrated", "restored", "from-snapshot", "unpaused", "migration-canceled",
		"save-canceled", "wakeup", "crashed", "postcopy", "postcopy-failed",
	}},
	2: {"blocked", []string{unknown}},
	3: {"paused", []string{
		unknown, "user", "migration", "save", "dump", "ioerror", "watchdog", "from-snapshot",
		"shutting-down", "snapshot", "crashed", "starting-up", "postcopy", "postcopy-failed", "api-error",
	}},
	4: {"shutdown", []string{unknown, "user"}},
	5: {"shutoff", []string{
		unknown, "shutdown", "destroyed", "crashed", "migrated", "saved", "failed", "from-snapshot", "daemon",
	}},
	6: {"crashed", []string{unknown, "panicked"}},
	7: {"pmsuspended", []string{unknown}},
}
