// Package sinktest is the conformance suite that every sink passes. It holds the
// contract of bridge.Sink: what is acknowledged is a prefix, is stored, in order, once,
// with its id and content, whatever fails in between.
//
// An adapter's own test is a [Harness] and a call of [Run].
package sinktest
