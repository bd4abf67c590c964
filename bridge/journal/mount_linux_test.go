package journal

import "syscall"

func mountTmpfs(dir, data string) error { return syscall.Mount("tmpfs", dir, "tmpfs", 0, data) }

func unmount(dir string) error { return syscall.Unmount(dir, 0) }
