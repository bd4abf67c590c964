package schema

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var testConnection = &Connection{
	Name:     "kvm01",
	URI:      "qemu:///system",
	Hostname: "kvm01.example.com",
	Source:   "qemu://kvm01.example.com/system",
}

var testUUID = UUID{0x66, 0x95, 0xeb, 0x01, 0xf6, 0xa4, 0x83, 0x04, 0x79, 0xaa, 0x97, 0xf2, 0x50, 0x2e, 0x19, 0x3f}

func lifecycleEvent(event, detail int32) Event {
	return Event{
		Observation: Observation{
			Connection: testConnection,
			Kind:       KindLifecycle,
			Object:     Object{UUID: testUUID, Name: "web-1", ID: 7},
			Event:      event,
			Detail:     detail,
			Received:   time.Date(2026, 3, 14, 15, 9, 26, 535_897_932, time.UTC),
		},
		Epoch:          "01h4fcqp2a",
		Sequence:       1042,
		DomainSequence: 17,
	}
}

func gapEvent() Event {
	return Event{
		Observation: Observation{
			Connection:      testConnection,
			Kind:            KindGap,
			Received:        time.Date(2026, 3, 14, 15, 10, 0, 0, time.UTC),
			UnobservedSince: time.Date(2026, 3, 14, 15, 9, 30, 120_000_000, time.UTC),
			Gap: &Gap{
				Reason: GapDisconnected,
				Until:  time.Date(2026, 3, 14, 15, 10, 0, 0, time.UTC),
			},
		},
		Epoch:    "01h4fcqp2a",
		Sequence: 1043,
	}
}

// stateEvent is the event that tells of a state after a lifecycle event.
func stateEvent(s State) Event {
	e := lifecycleEvent(2, 0)
	e.State = s
	return e.StateEvent()
}

// objectEvent is an event about an object of another family, of a kind that this version
// has no name for, with members of its own and the time at which it happened.
func objectEvent(o Object, eventID int32) Event {
	e := lifecycleEvent(0, 0)
	e.Kind, e.Object = KindOf(o.Family, eventID), o
	e.Payload = `"event":"started","reasons":[1,2,{"a":null}]`
	e.Occurred = time.Date(2026, 3, 14, 15, 9, 25, 0, time.UTC)
	return e
}

type testEvent struct {
	name  string
	event Event
}

// testEvents are the samples under samples/ and what every codec is tested with.
func testEvents() []testEvent {
	overrun := gapEvent()
	overrun.Gap = &Gap{Reason: GapOverrun, Lost: 512, Until: overrun.Gap.Until}
	stopped := lifecycleEvent(5, 5)
	stopped.Synthetic = true
	stopped.UnobservedSince = time.Date(2026, 3, 14, 15, 9, 0, 0, time.UTC)
	stopped.Object.ID = -1
	odd := lifecycleEvent(0, 0)
	odd.Object.Name = "caf\u00e9 \"100%\"\\\t\u0000\u2028<&>"
	return []testEvent{
		{"lifecycle-started", lifecycleEvent(2, 0)},
		{"lifecycle-shutdown-guest", lifecycleEvent(6, 1)},
		{"lifecycle-stopped-synthetic", stopped},
		{"lifecycle-defined-odd-name", odd},
		{"lifecycle-unknown-event", lifecycleEvent(42, 3)},
		{"lifecycle-unknown-detail", lifecycleEvent(2, -9)},
		{"state-running", stateEvent(State{Valid: true, Code: StateRunning, Reason: 1, Persistence: Persistent})},
		{"state-paused-ioerror", stateEvent(State{Valid: true, Code: StatePaused, Reason: 5, Persistence: NotPersistent})},
		{"state-unknown", stateEvent(State{Valid: true, Code: StateUnknown})},
		{"state-unknown-number", stateEvent(State{Valid: true, Code: 42, Reason: 7})},
		{"gap-disconnected", gapEvent()},
		{"gap-overrun", overrun},
		{"network-unknown-kind", objectEvent(Object{Family: FamilyNetwork, UUID: testUUID, Name: "default"}, 0)},
		{"node-device-unknown-kind", objectEvent(Object{Family: FamilyNodeDevice, Name: "net_eth0"}, 1)},
		{"unknown-kind", func() Event { e := lifecycleEvent(0, 0); e.Kind = KindOf(FamilyDomain, 99); return e }()},
	}
}
