package jsonl

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// output is where lines go: *os.File, or a test's.
type output interface {
	io.WriteCloser
	Sync() error
	Truncate(size int64) error
	Stat() (fs.FileInfo, error)
	Fd() uintptr
}

// fileMode is the mode of a new file: events name the domains of a host.
const fileMode = 0o640

// openFile opens the file at path for appending, and ends a torn last line.
func openFile(path string) (f *os.File, err error) {
	flags := os.O_RDWR | os.O_APPEND | os.O_CREATE
	info, err := os.Stat(path)
	existed := err == nil
	if existed && !info.Mode().IsRegular() {
		// A pipe without a reader would block here; a device cannot be read.
		flags = os.O_WRONLY | os.O_APPEND | syscall.O_NONBLOCK
	}
	if f, err = os.OpenFile(path, flags, fileMode); err != nil {
		if errors.Is(err, syscall.ENXIO) {
			return nil, fmt.Errorf("%w; nobody reads this pipe: start its reader", err)
		}
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	if info, err = f.Stat(); err != nil || !info.Mode().IsRegular() {
		return f, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return f, fmt.Errorf("lock %s: %w; another process writes it: give each its own file", path, err)
	}
	if err := endTornLine(f, info.Size()); err != nil {
		return f, fmt.Errorf("end the torn last line: %w", err)
	}
	if !existed {
		return f, syncDirectory(filepath.Dir(path))
	}
	return f, nil
}

// endTornLine makes sure that the file is empty or ends in a line break.
func endTornLine(f *os.File, size int64) error {
	if size == 0 {
		return nil
	}
	var last [1]byte
	if _, err := f.ReadAt(last[:], size-1); err != nil {
		return err
	}
	if last[0] == '\n' {
		return nil
	}
	_, err := f.Write([]byte{'\n'})
	return err
}

// syncDirectory makes a new file's name durable.
func syncDirectory(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// openStdout returns the standard output. A pipe or a terminal is opened again. Then a write to
// it can be interrupted, and a reader that is gone is an error and does not end the process
// (SIGPIPE).
func openStdout() (f *os.File, own bool) {
	info, err := os.Stdout.Stat()
	if err != nil || info.Mode()&(fs.ModeNamedPipe|fs.ModeCharDevice) == 0 {
		return os.Stdout, false
	}
	f, err = os.OpenFile("/proc/self/fd/1", os.O_WRONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return os.Stdout, false
	}
	return f, true
}
