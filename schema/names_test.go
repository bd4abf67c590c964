package schema

import (
	"regexp"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"
)

func TestLifecycleNames(t *testing.T) {
	tests := []struct {
		event, detail         int32
		eventName, detailName string
	}{
		{int32(libvirt.DomainEventDefined), int32(libvirt.DomainEventDefinedAdded), "defined", "added"},
		{int32(libvirt.DomainEventDefined), int32(libvirt.DomainEventDefinedUpdated), "defined", "updated"},
		{int32(libvirt.DomainEventDefined), int32(libvirt.DomainEventDefinedRenamed), "defined", "renamed"},
		{int32(libvirt.DomainEventDefined), int32(libvirt.DomainEventDefinedFromSnapshot), "defined", "from-snapshot"},
		{int32(libvirt.DomainEventUndefined), int32(libvirt.DomainEventUndefinedRemoved), "undefined", "removed"},
		{int32(libvirt.DomainEventUndefined), int32(libvirt.DomainEventUndefinedRenamed), "undefined", "renamed"},
		{int32(libvirt.DomainEventStarted), int32(libvirt.DomainEventStartedBooted), "started", "booted"},
		{int32(libvirt.DomainEventStarted), int32(libvirt.DomainEventStartedMigrated), "started", "migrated"},
		{int32(libvirt.DomainEventStarted), int32(libvirt.DomainEventStartedRestored), "started", "restored"},
		{int32(libvirt.DomainEventStarted), int32(libvirt.DomainEventStartedFromSnapshot), "started", "from-snapshot"},
		{int32(libvirt.DomainEventStarted), int32(libvirt.DomainEventStartedWakeup), "started", "wakeup"},
		{int32(libvirt.DomainEventStarted), int32(libvirt.DomainEventStartedRecreated), "started", "recreated"},
		{int32(libvirt.DomainEventSuspended), int32(libvirt.DomainEventSuspendedPaused), "suspended", "paused"},
		{int32(libvirt.DomainEventSuspended), int32(libvirt.DomainEventSuspendedMigrated), "suspended", "migrated"},
		{int32(libvirt.DomainEventSuspended), int32(libvirt.DomainEventSuspendedIoerror), "suspended", "ioerror"},
		{int32(libvirt.DomainEventSuspended), int32(libvirt.DomainEventSuspendedWatchdog), "suspended", "watchdog"},
		{int32(libvirt.DomainEventSuspended), int32(libvirt.DomainEventSuspendedRestored), "suspended", "restored"},
		{int32(libvirt.DomainEventSuspended), int32(libvirt.DomainEventSuspendedFromSnapshot), "suspended", "from-snapshot"},
		{int32(libvirt.DomainEventSuspended), int32(libvirt.DomainEventSuspendedAPIError), "suspended", "api-error"},
		{int32(libvirt.DomainEventSuspended), int32(libvirt.DomainEventSuspendedPostcopy), "suspended", "postcopy"},
		{int32(libvirt.DomainEventSuspended), int32(libvirt.DomainEventSuspendedPostcopyFailed), "suspended", "postcopy-failed"},
		{int32(libvirt.DomainEventResumed), int32(libvirt.DomainEventResumedUnpaused), "resumed", "unpaused"},
		{int32(libvirt.DomainEventResumed), int32(libvirt.DomainEventResumedMigrated), "resumed", "migrated"},
		{int32(libvirt.DomainEventResumed), int32(libvirt.DomainEventResumedFromSnapshot), "resumed", "from-snapshot"},
		{int32(libvirt.DomainEventResumed), int32(libvirt.DomainEventResumedPostcopy), "resumed", "postcopy"},
		{int32(libvirt.DomainEventResumed), int32(libvirt.DomainEventResumedPostcopyFailed), "resumed", "postcopy-failed"},
		{int32(libvirt.DomainEventStopped), int32(libvirt.DomainEventStoppedShutdown), "stopped", "shutdown"},
		{int32(libvirt.DomainEventStopped), int32(libvirt.DomainEventStoppedDestroyed), "stopped", "destroyed"},
		{int32(libvirt.DomainEventStopped), int32(libvirt.DomainEventStoppedCrashed), "stopped", "crashed"},
		{int32(libvirt.DomainEventStopped), int32(libvirt.DomainEventStoppedMigrated), "stopped", "migrated"},
		{int32(libvirt.DomainEventStopped), int32(libvirt.DomainEventStoppedSaved), "stopped", "saved"},
		{int32(libvirt.DomainEventStopped), int32(libvirt.DomainEventStoppedFailed), "stopped", "failed"},
		{int32(libvirt.DomainEventStopped), int32(libvirt.DomainEventStoppedFromSnapshot), "stopped", "from-snapshot"},
		{int32(libvirt.DomainEventStopped), int32(libvirt.DomainEventStoppedRecreated), "stopped", "recreated"},
		{int32(libvirt.DomainEventShutdown), int32(libvirt.DomainEventShutdownFinished), "shutdown", "finished"},
		{int32(libvirt.DomainEventShutdown), int32(libvirt.DomainEventShutdownGuest), "shutdown", "guest"},
		{int32(libvirt.DomainEventShutdown), int32(libvirt.DomainEventShutdownHost), "shutdown", "host"},
		{int32(libvirt.DomainEventPmsuspended), int32(libvirt.DomainEventPmsuspendedMemory), "pmsuspended", "memory"},
		{int32(libvirt.DomainEventPmsuspended), int32(libvirt.DomainEventPmsuspendedDisk), "pmsuspended", "disk"},
		{int32(libvirt.DomainEventCrashed), int32(libvirt.DomainEventCrashedPanicked), "crashed", "panicked"},
		{int32(libvirt.DomainEventCrashed), int32(libvirt.DomainEventCrashedCrashloaded), "crashed", "crashloaded"},
		{2, 6, "started", "unknown"},
		{2, -1, "started", "unknown"},
		{9, 0, "unknown", "unknown"},
		{-1, 0, "unknown", "unknown"},
	}
	named := 0
	for _, test := range tests {
		event, detail := EventName(KindLifecycle, test.event), DetailName(KindLifecycle, test.event, test.detail)
		if event != test.eventName || detail != test.detailName {
			t.Errorf("%d/%d is %s/%s, want %s/%s", test.event, test.detail, event, detail, test.eventName, test.detailName)
		}
		if detail != unknown {
			named++
		}
	}
	if want := countDetails(lifecycleEvents); named != want {
		t.Errorf("the test holds %d of %d names", named, want)
	}
}

func TestStateNames(t *testing.T) {
	tests := []struct {
		state, reason         int32
		stateName, reasonName string
	}{
		{int32(libvirt.DomainNostate), int32(libvirt.DomainNostateUnknown), "nostate", "unknown"},
		{int32(libvirt.DomainRunning), int32(libvirt.DomainRunningUnknown), "running", "unknown"},
		{int32(libvirt.DomainRunning), int32(libvirt.DomainRunningBooted), "running", "booted"},
		{int32(libvirt.DomainRunning), int32(libvirt.DomainRunningMigrated), "running", "migrated"},
		{int32(libvirt.DomainRunning), int32(libvirt.DomainRunningRestored), "running", "restored"},
		{int32(libvirt.DomainRunning), int32(libvirt.DomainRunningFromSnapshot), "running", "from-snapshot"},
		{int32(libvirt.DomainRunning), int32(libvirt.DomainRunningUnpaused), "running", "unpaused"},
		{int32(libvirt.DomainRunning), int32(libvirt.DomainRunningMigrationCanceled), "running", "migration-canceled"},
		{int32(libvirt.DomainRunning), int32(libvirt.DomainRunningSaveCanceled), "running", "save-canceled"},
		{int32(libvirt.DomainRunning), int32(libvirt.DomainRunningWakeup), "running", "wakeup"},
		{int32(libvirt.DomainRunning), int32(libvirt.DomainRunningCrashed), "running", "crashed"},
		{int32(libvirt.DomainRunning), int32(libvirt.DomainRunningPostcopy), "running", "postcopy"},
		{int32(libvirt.DomainRunning), int32(libvirt.DomainRunningPostcopyFailed), "running", "postcopy-failed"},
		{int32(libvirt.DomainBlocked), int32(libvirt.DomainBlockedUnknown), "blocked", "unknown"},
		{int32(libvirt.DomainPaused), int32(libvirt.DomainPausedUnknown), "paused", "unknown"},
		{int32(libvirt.DomainPaused), int32(libvirt.DomainPausedUser), "paused", "user"},
		{int32(libvirt.DomainPaused), int32(libvirt.DomainPausedMigration), "paused", "migration"},
		{int32(libvirt.DomainPaused), int32(libvirt.DomainPausedSave), "paused", "save"},
		{int32(libvirt.DomainPaused), int32(libvirt.DomainPausedDump), "paused", "dump"},
		{int32(libvirt.DomainPaused), int32(libvirt.DomainPausedIoerror), "paused", "ioerror"},
		{int32(libvirt.DomainPaused), int32(libvirt.DomainPausedWatchdog), "paused", "watchdog"},
		{int32(libvirt.DomainPaused), int32(libvirt.DomainPausedFromSnapshot), "paused", "from-snapshot"},
		{int32(libvirt.DomainPaused), int32(libvirt.DomainPausedShuttingDown), "paused", "shutting-down"},
		{int32(libvirt.DomainPaused), int32(libvirt.DomainPausedSnapshot), "paused", "snapshot"},
		{int32(libvirt.DomainPaused), int32(libvirt.DomainPausedCrashed), "paused", "crashed"},
		{int32(libvirt.DomainPaused), int32(libvirt.DomainPausedStartingUp), "paused", "starting-up"},
		{int32(libvirt.DomainPaused), int32(libvirt.DomainPausedPostcopy), "paused", "postcopy"},
		{int32(libvirt.DomainPaused), int32(libvirt.DomainPausedPostcopyFailed), "paused", "postcopy-failed"},
		{int32(libvirt.DomainPaused), int32(libvirt.DomainPausedAPIError), "paused", "api-error"},
		{int32(libvirt.DomainShutdown), int32(libvirt.DomainShutdownUnknown), "shutdown", "unknown"},
		{int32(libvirt.DomainShutdown), int32(libvirt.DomainShutdownUser), "shutdown", "user"},
		{int32(libvirt.DomainShutoff), int32(libvirt.DomainShutoffUnknown), "shutoff", "unknown"},
		{int32(libvirt.DomainShutoff), int32(libvirt.DomainShutoffShutdown), "shutoff", "shutdown"},
		{int32(libvirt.DomainShutoff), int32(libvirt.DomainShutoffDestroyed), "shutoff", "destroyed"},
		{int32(libvirt.DomainShutoff), int32(libvirt.DomainShutoffCrashed), "shutoff", "crashed"},
		{int32(libvirt.DomainShutoff), int32(libvirt.DomainShutoffMigrated), "shutoff", "migrated"},
		{int32(libvirt.DomainShutoff), int32(libvirt.DomainShutoffSaved), "shutoff", "saved"},
		{int32(libvirt.DomainShutoff), int32(libvirt.DomainShutoffFailed), "shutoff", "failed"},
		{int32(libvirt.DomainShutoff), int32(libvirt.DomainShutoffFromSnapshot), "shutoff", "from-snapshot"},
		{int32(libvirt.DomainShutoff), int32(libvirt.DomainShutoffDaemon), "shutoff", "daemon"},
		{int32(libvirt.DomainCrashed), int32(libvirt.DomainCrashedUnknown), "crashed", "unknown"},
		{int32(libvirt.DomainCrashed), int32(libvirt.DomainCrashedPanicked), "crashed", "panicked"},
		{int32(libvirt.DomainPmsuspended), int32(libvirt.DomainPmsuspendedUnknown), "pmsuspended", "unknown"},
	}
	for _, test := range tests {
		state, reason := StateName(test.state), ReasonName(test.state, test.reason)
		if state != test.stateName || reason != test.reasonName {
			t.Errorf("%d/%d is %s/%s, want %s/%s", test.state, test.reason, state, reason, test.stateName, test.reasonName)
		}
	}
	if want := countDetails(domainStates); len(tests) != want {
		t.Errorf("the test holds %d of %d names", len(tests), want)
	}
	if got := StateName(8) + "/" + ReasonName(1, 12) + "/" + ReasonName(8, 0); got != "unknown/unknown/unknown" {
		t.Errorf("numbers without a name are %s", got)
	}
}

func countDetails(rows []eventRow) int {
	n := 0
	for _, row := range rows {
		n += len(row.details)
	}
	return n
}

// TestNamesAreTokens holds that every name can stand in a type and in a subject, and that
// none can be mistaken for a number without a name.
func TestNamesAreTokens(t *testing.T) {
	token := regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	check := func(name string) {
		if _, isUnknown := parseUnknown(name); isUnknown || !token.MatchString(name) {
			t.Errorf("name %q", name)
		}
	}
	for f, family := range families {
		check(family.name)
		for id, kind := range family.kinds {
			if kind.name == "" {
				continue
			}
			check(kind.name)
			if k, ok := parseKindOf(Family(f), kind.name); !ok || k.EventID() != int32(id) {
				t.Errorf("name %q is kind %v, want %d", kind.name, k, id)
			}
			for _, event := range kind.events {
				check(event.name)
				for _, detail := range event.details {
					check(detail)
				}
			}
		}
	}
}

func TestKindNames(t *testing.T) {
	for name, kind := range map[string]Kind{"lifecycle": KindLifecycle, "gap": KindGap} {
		if got, ok := ParseKind(name); !ok || got != kind || kind.String() != name {
			t.Errorf("ParseKind(%q) = %v, %v, want %v", name, got, ok, kind)
		}
	}
	for _, name := range []string{"", "unknown-3", "Lifecycle"} {
		if got, ok := ParseKind(name); ok {
			t.Errorf("ParseKind(%q) = %v", name, got)
		}
	}
	if got := KindOf(FamilyDomain, 99).String(); got != "unknown-99" {
		t.Errorf("kind 99 is %q", got)
	}
	for family, want := range map[Family]string{FamilyDomain: "domain", FamilyConnection: "connection", 77: "unknown-77"} {
		if got := family.String(); got != want {
			t.Errorf("family %d is %q, want %q", family, got, want)
		}
	}
	if got := EventName(KindGap, 0) + DetailName(KindGap, 0, 0); got != "" {
		t.Errorf("a gap has the event and detail %q", got)
	}
}

func TestParseUnknown(t *testing.T) {
	for token, want := range map[string]int32{"unknown-42": 42, "unknown--1": -1, "unknown-0": 0} {
		if got, ok := parseUnknown(token); !ok || got != want {
			t.Errorf("parseUnknown(%q) = %d, %v, want %d", token, got, ok, want)
		}
	}
	for _, token := range []string{"unknown", "unknown-", "unknown-042", "unknown-+1", "unknown--0", "unknown-2147483648", "booted"} {
		if got, ok := parseUnknown(token); ok {
			t.Errorf("parseUnknown(%q) = %d", token, got)
		}
	}
}
