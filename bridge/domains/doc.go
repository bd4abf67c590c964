// Package domains concludes what is known of each domain from its events, at each source
// that has it, and says which source's state is published. It knows neither the journal
// nor the sinks: the bridge's committer feeds a [Book], makes its changes durable, and
// publishes what it returns.
//
// A source is a hypervisor connection in the sense of CloudEvents. One domain (one UUID)
// may exist at several sources, above all while it migrates.
//
// # What is known of a domain at one source
//
//	word        meaning
//	code        the state, a virDomainState, and the reason that libvirt has for it
//	persistent  the domain outlives being stopped, because it is defined
//	presence    how far the domain is there, see below
//
// Events do not carry states: a table (rules.go) says what each event tells of them.
//
// # Presence
//
//	presence    meaning                                                     rank
//	unseen      no event has told whether the domain is active              there
//	absent      it is gone: neither defined nor active                      gone
//	inactive    it is defined, as far as is known, and not active           there
//	active      it runs, or is paused, here                                 active
//	incoming    a migration to here is under way (migrating)                moving
//	outgoing    a migration from here is under way (migrating)              moving
//	superseded  it was active here, and became active at another source     there
//	            later; gone if it was not persistent                        or gone
//
// # Precedence
//
// A store has one state for each UUID. It is that of the source with the highest rank:
// active before moving before there before gone. Among active sources it is the one that
// became active last, by the time at which the event was received; the others are
// superseded. Among other equals it is the source whose state was published before. What
// the other sources' events tell is remembered, and not published as a state.
//
// # What may have been missed
//
// After a gap, and after a restart, a domain may have changed without an event. What
// would make the difference between kept and removed is given up then ([Book.Missed]): a
// domain that was gone, or not persistent, may have been defined. A [Book.Diff] with a
// complete listing ends that.
package domains
