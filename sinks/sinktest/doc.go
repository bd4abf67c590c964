// Package sinktest is the conformance suite that every sink passes. It holds the
// contract of bridge.Sink: each event has one outcome, what is acknowledged is stored, in
// order, once, with its id and content, whatever fails in between, and what one key
// cannot take delays no other.
//
// An adapter's own test is a [Harness] and a call of [Run].
package sinktest
