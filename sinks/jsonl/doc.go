// Package jsonl delivers events as JSON lines: one CloudEvent in structured mode
// per line, into a file that others may rotate, or to the standard output.
//
// An event counts as delivered to a file when its line is on disk: every Deliver ends with
// an fsync. What is not a regular file (a pipe, a terminal) has no such thing; there it
// counts when it is written.
//
// A file always consists of whole lines, with one exception: a crash or a power cut
// may leave a torn last line. The next start ends it with a line break, so that what follows
// is whole; the torn event is delivered again, in full. Readers skip a
// line that is not valid JSON.
//
// Rotation is the business of others, logrotate for one: when the file at the path is not the
// one that is open any more, it is opened anew (and created) before the next event is written.
// A Deliver that fails after its lines were written, and a restart, may write lines again: the
// same event has the same source and id.
package jsonl
