// Package journal is virtcast's durable outbox. One directory holds an ordered log of
// records, a cursor for each reader, the last value of each key, and the epoch. What the
// records and values contain is not the journal's business.
//
//	Append ──► log: record 1, record 2, … ──► Reader A  (cursor at 1)
//	                                      └─► Reader B  (cursor at 2)
//	       └─► values: key → last value
//
// # Words
//
//	word         meaning
//	record       bytes at an offset
//	offset       the number of a record, from 1 on
//	value        the last bytes that were put for a key
//	batch        records and changes of values that become durable at once
//	reader       a name with a cursor
//	cursor       the offset below which the reader needs nothing any more
//	dead letter  a record that a reader's sink refused for good, kept beside the log
//	segment      one file of the log; it is removed when every cursor has passed it
//	checkpoint   the values as they were at one place of the log, in one file
//
// # Laws
//
//  1. Append returns nil only after the whole batch, its records and its changes of
//     values, is on disk. It is kept through kill -9 and power cuts.
//  2. A batch is there as a whole or not at all.
//  3. A batch whose Append returned an error is never read, and its values never appear,
//     also after a restart. The one exception is [ErrUncertain].
//  4. Offsets are consecutive record numbers from 1 on. They are never used again.
//  5. What a reader has not committed is never trimmed. It can be read again (Reread).
//  6. Damage is never repaired by deleting. A torn end of the log was never acknowledged:
//     it is moved to a .torn file. Any other damage stops Open, or the reader that comes
//     to it, with a [DamageError] that names the place and the cure.
//  7. A full disk, or a full journal, is a clean error: readers go on, and appends resume
//     when there is room, without a restart.
//
// One writer and many readers may use a Journal at the same time. One process may use a
// directory at a time.
//
// README.md describes the format of every file to the byte.
package journal
