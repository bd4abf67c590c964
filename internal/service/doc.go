// Package service wires virtcast: it makes drivers, registry, bridge, journal and sinks
// of a configuration, and runs them. Beside cmd, it is the only package that knows
// concrete drivers and sinks; each kind is a row of an explicit table (drivers.go,
// sinks.go).
//
//	config ──▶ New ──▶ Service ──▶ Run(ctx)
//	                     ├─ connections ── registry ──▶ bridge ── journal ── sinks
//	                     ├─ metrics server (if configured)
//	                     └─ control socket, for the dead letters of a running virtcast
//
// [New] opens the journal, which is the lock on the data directory, and connects nothing.
// [Service.Run] owns every goroutine; it returns when they have ended and everything is
// closed. The order of the shutdown is that of [virtcast.Run].
//
// [NewEmbedded] is the service without a configuration: the hypervisors of this machine
// or a simulated one, and a NATS server in this process.
//
// [DeadLetters] works on a data directory from another process.
package service
