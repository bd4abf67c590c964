package journal

import "syscall"

const errNoSpace = syscall.ENOSPC

func childMain() bool { return false }
