package journal

import (
	"io"
)

// FS is the part of a file system that a journal needs. Tests put a failing one in
// its place. Names are full paths.
type FS interface {
	// MakeDir makes a directory (mode 0700), and its parents, durably, if absent.
	MakeDir(name string) error
	// OpenFile opens a file with the flags of package os; a new one gets mode 0600.
	OpenFile(name string, flag int) (File, error)
	Rename(from, to string) error
	Remove(name string) error
	// ReadDir returns the base names of the files in a directory.
	ReadDir(name string) ([]string, error)
	// SyncDir makes the directory's entries durable.
	SyncDir(name string) error
	// Lock takes an exclusive lock on a file, which it creates if absent, without
	// waiting. It fails with an error that is ErrLocked if there is one already. Close
	// unlocks.
	Lock(name string) (io.Closer, error)
}

// File is an open file of an FS.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Size returns the current length in bytes.
	Size() (int64, error)
	Truncate(size int64) error
	// Sync makes the content durable, with the length.
	Sync() error
}
