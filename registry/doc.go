// Package registry holds registrations and the live set of connections: it
// opens a session with every hypervisor, registers callbacks there for what
// the registrations ask for, matches what comes, and hands it on to be made durable.
//
//	driver ── push ──▶ queue ── take ──▶ recorder ── match ── Options.Record ── callbacks
//	 (its own goroutine)      (one goroutine per connection)
//
// # Connections
//
// A supervisor per connection opens a session, registers, watches until the session is lost,
// says so, backs off with full jitter, and begins again. Connections do not wait
// for each other. The driver is never held up: its observations go into a bounded queue, and when
// that is full, newer ones are lost and counted. Whatever was not observed is declared by a gap
// ([schema.KindGap]), which is queued before anything newer of its connection:
//
//   - overrun, in the moment in which the full queue has room again;
//   - disconnected, when a later session has registered its callbacks. What comes while it does
//     waits behind the gap.
//
// A gap goes to every sink and every callback that any registration of its connection names; that of a connection
// that none names is dropped.
//
// # Wire registrations
//
// There is one callback per session, kind and filter, however many registrations there are: one
// for all domains if any registration wants them all, else one for each domain that
// is named. When the set changes, new callbacks are registered before old ones are ended; where both
// cover a domain for that time, events come twice, and the second copy is dropped
// (copyFilter says how it is told). A kind that the hypervisor refuses is logged once per session,
// counted, and not asked for again in that session; the others go on.
//
// # Registrations
//
// They behave as those of virConnectDomainEventRegisterAny do. Numbered as in the tests:
//
//  1. An ID is not negative, and 0 is the first.
//  2. IDs rise and are never used again.
//  3. The same callback with the same filter is refused ([ErrTracked]), and the refused
//     registration is not released. The filter is Connections, Domain and Kinds; Sinks are not part of it.
//     Registrations without a callback may repeat each other.
//  4. Different callbacks with the same filter are different registrations, and both are called.
//  5. So is the same callback with another kind or filter.
//  8. A registration of all domains and one of a domain both get the domain's event; a
//     sink that both name gets it once.
//  9. A registration of one domain gets no other's events.
//  11. It holds for the UUID, whatever becomes of the domain: renamed, undefined, defined again.
//  13. A registration that can match nothing is refused. Any eventID is legal: a newer
//     hypervisor may know it, an older one refuses it in the session.
//  14. Deregistering what is not registered, or no longer, fails with [ErrNotRegistered].
//  15. Outside dispatch, Release is called before DeregisterAny returns, once.
//  16. Deregistration inside a callback holds for the observation that is being dispatched: callbacks that
//     were not yet called for it are not. Release is called after the dispatch.
//  17. The second deregistration inside a callback fails, as any other.
//  18. A registration made inside a callback does not see the observation being dispatched, but those
//     that come afterwards.
//  19. A deregistered callback does not see what was queued for it.
//  20. After the last registration is gone, what is queued is dropped and counted as unmatched.
//  21. An observation is a value: unlike libvirt's domain object it may be kept after the call.
//  23. Neither the loss of a session nor the end of Run releases a registration.
//  24. No callback outlives its session; every session registers anew.
//  25. What still comes after a deregistration is not seen by it.
//  26. Every observation is seen exactly once per matching registration, in the order of the
//     connection, if nothing was declared lost.
//
// Without a meaning here: 6 and 7 (there is no second, older kind of registration), 10 (whose doing
// an event is, is the hypervisor's matter), 12 (there is no event loop to be
// missing) and 22 (Observe returns nothing).
//
// # Goroutines and locks
//
// Run starts two goroutines per connection and waits for them. Registry.mu is taken by itself;
// queue.mu, connection.mu and episode.mu are leaves. Callbacks and Release are
// called without any lock held.
package registry
