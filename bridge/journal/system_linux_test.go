package journal

import (
	"syscall"
	"time"
)

func mountTmpfs(dir, data string) error { return syscall.Mount("tmpfs", dir, "tmpfs", 0, data) }

func unmount(dir string) error { return syscall.Unmount(dir, 0) }

// cpuTime is what the process has used so far.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
