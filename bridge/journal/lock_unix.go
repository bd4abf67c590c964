//go:build unix

package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// lockFile takes a lock that the kernel releases when the process ends, however it does,
// and leaves the process number in the file for a process that comes too late.
func lockFile(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrLocked
		if p, readErr := io.ReadAll(f); readErr == nil && len(p) > 0 {
			err = fmt.Errorf("%w by process %s", ErrLocked, strings.TrimSpace(string(p)))
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	// The number is for people only: on a full disk it may be missing.
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return f, nil
}
