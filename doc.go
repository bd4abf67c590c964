// Package virtcast is for Go programs that want to know what happens to virtual machines.
// It has two doors, and the packages behind them:
//
//   - Callbacks in your own process, as virConnectDomainEventRegisterAny has them, but over
//     many connections, with reconnects, and with every gap declared: a driver and a
//     [registry.Registry].
//   - CloudEvents on NATS, on Kafka or in a file, each written to disk before it is sent: a
//     [journal.Journal], a [bridge.Bridge] and a sink beside the registry. [Run] runs the
//     two in the order in which they must stop.
//
// The program virtcast (cmd/virtcast) is the second one with a configuration, metrics and a
// command line. Both doors need no cgo, no libvirt on the machine, and read-only access to
// the hypervisor.
//
// # Words
//
//   - A connection is one hypervisor that is watched, under a name of yours. A driver opens
//     a session with it; a connection outlives its sessions.
//   - A registration asks for kinds of events, of one domain or of all, on the connections
//     whose names match. It names sinks, or has a callback, or both.
//   - An observation is what a session saw: a domain, a kind, its numbers, the time at which
//     it was received. An event is an observation with its id and its sequence numbers.
//   - A gap is the observation that a connection was not watched for a time, or that
//     observations were lost. It comes before anything newer of that connection.
//   - The journal keeps events until every sink has acknowledged them; a cursor is how far
//     a sink has come. A sink is where events are published.
//   - A dead letter is an event that a sink can never take, kept with the reason.
//
// # Packages
//
//	schema              observations, events, kinds and their names; CloudEvents both ways
//	registry            registrations, and the connections that serve them
//	drivers/libvirt     libvirt's remote protocol; NewFromURI is where to start
//	drivers/libvirt/libvirttest
//	                    a libvirtd in your process, for tests
//	bridge              stamps, records and delivers events
//	bridge/journal      the file format of what is recorded
//	sinks/nats          JetStream and core NATS
//	sinks/kafka         Kafka
//	sinks/jsonl         JSON lines in a file or on standard output
//	drivers/drivertest, sinks/sinktest
//	                    what a driver or a sink of your own must pass
package virtcast
