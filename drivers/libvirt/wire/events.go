package wire

import "github.com/virtcast/virtcast/schema"

// MaxEventID is the highest virDomainEventID whose message is known here.
const MaxEventID int32 = 27

// domainEventProcedures has the procedure of the message of each virDomainEventID: the
// modern one, which begins with a callback id. Only clients that register with
// ProcDomainEventRegisterAny are sent these. The numbers are in no order that could be
// computed.
var domainEventProcedures = [MaxEventID + 1]int32{
	0:  ProcDomainEventLifecycle,
	1:  319, // reboot
	2:  320, // rtc-change
	3:  321, // watchdog
	4:  322, // io-error
	5:  323, // graphics
	6:  324, // io-error-reason
	7:  325, // control-error
	8:  326, // block-job
	9:  327, // disk-change
	10: 328, // tray-change
	11: 329, // pm-wakeup
	12: 330, // pm-suspend
	13: 331, // balloon-change
	14: 332, // pm-suspend-disk
	15: 333, // device-removed
	16: 339, // block-job-2
	17: 346, // tunable
	18: 348, // agent-lifecycle
	19: 354, // device-added
	20: 359, // migration-iteration
	21: 363, // job-completed
	22: 367, // device-removal-failed
	23: 379, // metadata-change
	24: 385, // block-threshold
	25: 423, // memory-failure
	26: 438, // memory-device-size-change
	27: 453, // nic-mac-change
}

// DomainEventProcedure returns the procedure of the message that carries a
// virDomainEventID; ok is false for one that is not known here.
func DomainEventProcedure(eventID int32) (procedure int32, ok bool) {
	if eventID < 0 || eventID > MaxEventID {
		return 0, false
	}
	return domainEventProcedures[eventID], true
}

// LifecycleMessage is the payload of ProcDomainEventLifecycle
// (remote_domain_event_callback_lifecycle_msg).
type LifecycleMessage struct {
	CallbackID    int32
	Domain        schema.Object
	Event, Detail int32
}

// LifecycleMessage reads a lifecycle event.
func (d *Decoder) LifecycleMessage() LifecycleMessage {
	return LifecycleMessage{CallbackID: d.Int32(), Domain: d.Domain(), Event: d.Int32(), Detail: d.Int32()}
}

// LifecycleMessage appends a lifecycle event.
func (e *Encoder) LifecycleMessage(m LifecycleMessage) {
	e.Int32(m.CallbackID)
	e.Domain(m.Domain)
	e.Int32(m.Event)
	e.Int32(m.Detail)
}
