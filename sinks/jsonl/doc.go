// Package jsonl delivers events as JSON lines: one CloudEvent in structured mode per
// line. The lines go to a file, which another program may rotate, or to the standard
// output.
//
// In a file, an event is acknowledged when its line is on disk: every Deliver ends with
// an fsync. A pipe or a terminal has no fsync. There an event is acknowledged when its
// line is written.
//
// A file consists of whole lines, with one exception: a crash or a power cut may leave a
// torn last line. The next start ends it with a line break, and the torn event is
// delivered again, in full. Readers should skip a line that is not valid JSON.
//
// Rotation is another program's task, for example logrotate's. When the path no longer
// names the open file, the sink opens (and creates) the file at the path before it writes
// the next event.
//
// A line can be written twice: when Deliver fails after its lines were written, and after
// a restart. Both lines have the same source and id.
package jsonl
