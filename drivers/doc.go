// Package drivers is the seam between the registry and the hypervisors. A driver opens
// sessions with one hypervisor and delivers what it observes there; the registry calls
// it, and decides where the observations go. Package drivertest holds every driver to the
// laws below.
//
//	registry ── Open, Watch, List ──▶ driver ──▶ hypervisor
//	registry ◀── out(Batch) ───────── driver ◀── hypervisor
//
// One seam serves four kinds of drivers. A driver of events (libvirt) delivers
// observations. A driver of a hypervisor that keeps a history delivers a position with
// them, and resumes behind it. A polling driver delivers a listing at each tick. Any of
// them may deliver listings when [Session].List asks for one.
//
// # The laws
//
//  1. Open returns when the hypervisor has answered: its identity is known, and Watch may
//     be called. Open tries once. Waiting and trying again is the registry's work.
//  2. Connections are opened read-only. A driver has no call that changes a guest.
//  3. Observations reach out in the order in which the hypervisor sent them, from one
//     goroutine at a time. An event that matches several filters comes once. Out does not
//     block, and a driver never stops reading because of what follows it.
//  4. What the hypervisor sends for a filter before it has answered for it is delivered.
//     After Watch has returned, nothing comes for a filter that is no longer wanted,
//     unless it covers what is reported as missing.
//  5. A number that the driver has no name for is passed on. A frame that cannot be
//     decoded is counted and skipped while the stream is in step; otherwise the session
//     ends with an error. A kind that the hypervisor refuses is missing, and the other
//     kinds are delivered.
//  6. A dead peer ends the session within the time that the driver promises, also if the
//     peer closes nothing.
//  7. After Done is closed, out is not called, every call returns an error at once, and
//     no goroutine of the session is left.
//  8. A listing stands in the stream at the place at which the hypervisor answered:
//     behind the events that came before the answer, and before the events that came
//     after it.
//  9. Everything that happened on the hypervisor up to Sure was delivered, if it came
//     into a filter that was in force.
//  10. A batch's position stands behind its observations: a session that is opened with
//     it delivers what follows them, and nothing of them. A session that reports Resumed
//     has skipped nothing.
//  11. Texts are bounded: a name has at most [MaxText] bytes, a payload at most
//     [MaxPayload].
package drivers
