//go:build !linux

package command

import (
	"os"
	"os/exec"
)

// Where there is no such signal, and maybe no process groups, only the program itself is
// killed.

func dieWithParent(*exec.Cmd) {}

func ownGroup(*exec.Cmd) {}

func killGroup(leader *os.Process) error { return leader.Kill() }
