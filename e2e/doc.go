// Package e2e drives the built binary as an operator would. On one side there is a real
// libvirtd with real guests, on the other side a real NATS JetStream and real Kafka
// brokers. The tests see nothing of virtcast but its output.
//
// A scenario is a table of steps. Each step does something to a domain, with virsh or
// inside the guest, and has the events that must follow. The test reads the stream with
// the NATS client and compares it with
//
//   - the exact sequence of events of each domain, each once;
//   - virsh event on the same daemon, an observer that shares no code with virtcast;
//   - the CloudEvents SDK: every message decodes and validates;
//   - the published JSON Schema of its data;
//   - what the project promises of ids, sequences and subjects.
package e2e
