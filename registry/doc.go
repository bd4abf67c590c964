// Package registry holds registrations and connections. It keeps a session open with
// every hypervisor, asks each for the events that the registrations want, matches what
// comes with the registrations, and hands it on to be made durable.
//
//	driver ── push ──▶ queue ── take ──▶ recorder ── match ── Options.Record ── callbacks
//	 (its own goroutine)      (one goroutine per connection)
//
// # Connections
//
// Each connection has a supervisor. It opens a session with the connection's driver
// (package drivers), brings the wanted filters into force, and watches until the session
// is lost. Then it waits, with a back-off with full jitter, and begins again. Connections
// do not wait for each other.
//
// A connection is up while everything wanted is in force, except what its hypervisor does
// not have.
//
// # Filters
//
// For each kind of event the supervisor wants one filter of every domain, if any
// registration wants them all; otherwise one filter for each domain that is named. When
// registrations change, it calls Watch with the new set. How the hypervisor is asked for
// it is the driver's business.
//
//   - A filter that the hypervisor refuses for good is logged and counted, and not asked
//     for again in that session. The other filters are in force.
//   - A filter that is missing for a moment is asked for again, with back-off. Meanwhile
//     the connection is not up, and the other filters are in force.
//   - Any other error of Watch ends the session.
//
// # What waits
//
// A driver is never held up. What it delivers goes into the connection's queue, in the
// order of the source: observations, listings, and positions to resume from. A queue is
// bounded in bytes, and so is the sum of all queues. An observation that finds no room is
// lost and counted. A queue that is empty holds no memory.
//
// The recorder takes batches of at most 1,024 observations or one mebibyte from the
// queue, and calls Options.Record until it succeeds. A position becomes durable with the
// last observation before it. Positions between which nothing was matched become durable
// at most once a second.
//
// # Gaps
//
// Whatever was not observed is declared by a gap ([schema.KindGap]), before anything
// newer of its connection:
//
//   - overrun: observations were lost. The gap stands in their place.
//   - disconnected: a session was lost. The gap begins where the session's driver is no
//     longer sure that it delivered everything, and ends when the next session has its
//     filters in force. What comes meanwhile waits behind the gap. Also the time in which
//     a filter was missing for a moment is declared so, when it is over.
//
// A session that has resumed from a position has missed nothing, and has no gap.
//
// A gap goes to every sink and every callback that any registration of its connection
// names. A gap of a connection that no registration names is dropped.
//
// # Registrations
//
// They behave as those of virConnectDomainEventRegisterAny do. The tests name the law
// that they hold:
//
//  1. An ID is not negative, and 0 is the first.
//  2. IDs rise and are never used again.
//  3. The same callback with the same filter is refused ([ErrTracked]), and the refused
//     registration is not released. The filter is Connections, Domain and Kinds; Sinks
//     are not part of it. Registrations without a callback may repeat each other.
//  4. Different callbacks with the same filter are different registrations, and both are
//     called.
//  5. The same callback with another kind or filter is another registration, and is
//     called for both.
//  8. A registration of all domains and one of a domain both get the domain's event; a
//     sink that both name gets it once.
//  9. A registration of one domain gets no other's events.
//  11. A registration of one domain is for its UUID. It stays when the domain is renamed,
//     undefined, or defined again.
//  13. A registration that can match nothing is refused. Any eventID is legal: a newer
//     hypervisor may know it, an older one refuses it in the session.
//  14. Deregistering an ID that was never given, or is gone, fails with
//     [ErrNotRegistered].
//  15. Outside dispatch, Release is called before DeregisterAny returns, once.
//  16. Deregistration inside a callback holds for the observation that is being
//     dispatched: callbacks that were not yet called for it are not. Release is called
//     after the dispatch.
//  17. The second deregistration of an ID inside a callback fails too.
//  18. A registration made inside a callback does not see the observation being
//     dispatched, but those that come afterwards.
//  19. A deregistered callback does not see what was queued for it.
//  20. After the last registration is gone, what is queued is dropped and counted as
//     unmatched.
//  21. An observation is a value: unlike libvirt's domain object it may be kept after the
//     call.
//  23. Neither the loss of a session nor the end of Run releases a registration.
//  24. Nothing that the hypervisor registered outlives its session. Every session asks
//     for everything that is wanted then.
//  25. An ended registration does not see what the hypervisor still sends for it.
//  26. Every observation is seen exactly once per matching registration, in the order of
//     the connection, if nothing was declared lost.
//
// Laws of libvirt that have no meaning here are 6 and 7 (there is no second, older kind
// of registration), 10 (the hypervisor knows which client caused an event, the registry
// does not), 12 (there is no event loop that could be missing) and 22 (Observe returns
// nothing).
//
// # Goroutines and locks
//
// Run starts two goroutines per connection and waits for them: the supervisor and the
// recorder. Registry.mu is taken by itself. queue.mu, connection.mu and trouble.mu are
// leaves: no other lock is taken while they are held. Callbacks and Release are called
// without any lock held.
package registry
