package lab

import (
	"bufio"
	"bytes"
	_ "embed"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/virtcast/virtcast/e2e/command"
)

//go:embed init.sh
var initScript string

// namespace is a set of mount, UTS and PID namespaces that an otherwise idle shell holds.
type namespace struct {
	init  *process
	stdin io.Closer
}

// newNamespace makes the namespaces for the lab in dir. It needs root.
func newNamespace(dir, hostname string) (*namespace, error) {
	cmd := command.Server("/bin/sh", "-c", initScript, "lab-init", dir, hostname)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWUTS | syscall.CLONE_NEWPID,
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	logPath := filepath.Join(dir, "init.log")
	p, err := spawn(cmd, logPath)
	if err != nil {
		return nil, err
	}
	late := time.AfterFunc(startTimeout, func() { _ = p.signal(syscall.SIGKILL) }) // its output then ends
	line, err := bufio.NewReader(stdout).ReadString('\n')
	late.Stop()
	if err != nil || line != "ready\n" {
		_ = p.kill() // what it wrote says more than how it ended
		text, _ := os.ReadFile(logPath)
		return nil, fmt.Errorf("namespaces are not permitted or not complete: %s", bytes.TrimSpace(text))
	}
	return &namespace{init: p, stdin: stdin}, nil
}

// enter returns the arguments with which nsenter runs a program inside.
func (n *namespace) enter(name string, args ...string) []string {
	return append([]string{"-t", strconv.Itoa(n.init.cmd.Process.Pid), "-m", "-u", "-p", "--", name}, args...)
}

// close kills everything inside and waits until it is gone.
func (n *namespace) close() error {
	_ = n.stdin.Close() // already closed if the init was killed
	return n.init.kill()
}
