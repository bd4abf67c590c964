// Package value writes and reads the values that the bridge keeps in the journal: a
// version, and sections that a later version may add to.
//
//	section   type byte, uvarint length, that many bytes
//
// A reader passes over a section that it does not know if the type is even. It must know
// an odd type: without that section the value would mean something else, and the reader
// fails with [ErrNewer].
package value
