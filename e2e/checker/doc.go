// Package checker judges what consumers find in a log against what was sent to it: nothing lost, nothing twice, each
// key's events in order and in the partition that the official client would choose.
//
// It shares no code with what it judges. It knows the JSON lines that the Java consumer in e2e/interop prints (ReadTopic), the
// attributes of docs/events.md, and what the sender says it has sent; nothing of virtcast is imported.
//
// A stream is the events of one subject at one source in one epoch. Their domainsequence counts from
// 1, so that a stream proves its own completeness but for its end; the end, and that the content is what was sent, are
// known where [Checker.Sent] was told. Beside that, the sequence of each source in each epoch counts from 1 over all its
// subjects, and an id names one event of a source.
package checker
