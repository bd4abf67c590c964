package command

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// dieWithParent has the kernel kill the program when this process dies. The signal comes
// when the thread that started the program ends; Go ends a thread only with a goroutine
// that is locked to it.
func dieWithParent(cmd *exec.Cmd) { attributes(cmd).Pdeathsig = syscall.SIGKILL }

// ownGroup puts the program into a process group of its own.
func ownGroup(cmd *exec.Cmd) { attributes(cmd).Setpgid = true }

func attributes(cmd *exec.Cmd) *syscall.SysProcAttr {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	return cmd.SysProcAttr
}

// killGroup kills a program that leads a process group, and everything in the group.
func killGroup(leader *os.Process) error {
	err := syscall.Kill(-leader.Pid, syscall.SIGKILL)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}
