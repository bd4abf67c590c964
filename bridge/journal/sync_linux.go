package journal

import (
	"os"
	"syscall"
)

// syncData is fdatasync: the content and the length, not the times.
func syncData(f *os.File) error {
	for {
		err := syscall.Fdatasync(int(f.Fd()))
		if err == nil {
			return nil
		}
		if err != syscall.EINTR { // a system call returns the bare number
			return &os.PathError{Op: "fdatasync", Path: f.Name(), Err: err}
		}
	}
}
