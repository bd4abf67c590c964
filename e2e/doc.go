// Package e2e drives the built binary as an operator would: real libvirtd with real
// guests on one side, a real NATS JetStream on the other, nothing of virtcast's in
// between but what it publishes.
//
// A scenario is a table of steps. Each step does something to a domain, with virsh or inside
// the guest, and says which events follow. What arrives in the stream is read
// back with the NATS client and held to
//
//   - the exact sequence of events of each domain, each once;
//   - virsh event on the same daemon, an observer that shares no code with virtcast;
//   - the CloudEvents SDK: every message decodes and validates;
//   - the published JSON Schema of its data;
//   - what the project promises of ids, sequences and subjects.
package e2e
