// Package journal is the durable outbox: an ordered log of opaque records, one
// cursor per reader, the last known values, and the epoch, in one directory.
//
// # Laws
//
//  1. Append returns nil only after the whole batch, its records and its state
//     changes, is on disk. It is kept through kill -9 and power cuts.
//  2. A batch is there as a whole or not at all.
//  3. A batch whose Append returned an error is never read and never in Value, also
//     after a restart. The one exception says so: see [ErrUncertain].
//  4. Offsets are consecutive record numbers from 1 on and are never reused.
//  5. What a reader has not committed is never trimmed.
//  6. Damage is never repaired by deleting: a torn tail, which nobody was told was
//     durable, is moved to a .torn file; any other damage stops Open, or the reader that
//     comes upon it, with a [DamageError] that names the place and the cure.
//  7. A full disk, or a full journal, is a clean error: readers go on, and appends
//     resume by themselves when there is room.
//
// One writer and many readers may use a Journal at the same time. One process may
// use a directory at a time.
//
// The format of every file is described to the byte in README.md.
package journal
