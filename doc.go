// Package virtcast is the front page for Go programs that watch virtual machines. There
// are two ways to use this module:
//
//   - Callbacks in your own process, as virConnectDomainEventRegisterAny has them, but
//     over many connections, with reconnects, and with every gap declared. You need a
//     driver and a [registry.Registry].
//   - CloudEvents on NATS, on Kafka or in a file. Each event is written to disk before it
//     is sent. You need a journal, a [bridge.Bridge] and a sink beside the registry.
//     [Run] runs registry and bridge, and stops them in the right order.
//
// The program virtcast (cmd/virtcast) is the second way, with a configuration, metrics
// and a command line. Both need read-only access to the hypervisor; neither needs cgo,
// nor a libvirt library on the machine.
//
// # Words
//
//   - Connection: one hypervisor that is watched, under a name that you choose. A driver
//     opens sessions with it. When a session is lost, the registry opens the next one.
//   - Registration: which kinds of events are wanted, of one domain or of all, on which
//     connections. It names sinks, or has a callback, or both.
//   - Observation: what a session received: a domain, a kind, its numbers, and the time.
//   - Event: an observation with its id and its sequence numbers.
//   - Gap: the observation that a connection was not watched for a time, or that
//     observations were lost. It comes before anything newer of that connection.
//   - Sink: where events are published, such as a NATS server.
//   - Journal: the file that keeps events until every sink has acknowledged them. A
//     cursor is the position that a sink has reached in it.
//   - Dead letter: an event that a sink refused for good, kept with the reason.
//
// # Packages
//
//	schema              observations, events, kinds and their names; CloudEvents both ways
//	registry            registrations, and the connections that serve them
//	drivers/libvirt     libvirt's remote protocol; NewFromURI is where to start
//	drivers/libvirt/libvirttest
//	                    a libvirtd in your process, for tests
//	bridge              stamps, records and delivers events
//	bridge/journal      the log on disk between the registry and the sinks
//	sinks/nats          JetStream and core NATS
//	sinks/kafka         Kafka
//	sinks/jsonl         JSON lines in a file or on standard output
//	drivers/drivertest  what a driver of your own must pass
//	sinks/sinktest      what a sink of your own must pass
package virtcast
