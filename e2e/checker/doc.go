// Package checker judges what consumers find in a log against what was sent to it:
// nothing lost, nothing twice, each key's events in order and in the partition that the
// official client would choose.
//
// The checker shares no code with virtcast and imports nothing of it. It knows the JSON
// lines that the Java consumer in e2e/interop prints (ReadTopic), the attributes of
// docs/events.md, and the events that the sender has sent.
//
// A stream is the events of one subject at one source in one epoch. Their domainsequence
// counts from 1: a stream proves its own completeness but for its end. [Checker.Sent]
// gives the checker the end, and the content that was sent. The sequence of each source
// in each epoch counts from 1 over all its subjects, and an id names one event of a
// source.
package checker
