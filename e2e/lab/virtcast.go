package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/virtcast/virtcast/e2e/command"
)

// VirtcastOptions say how virtcast is built and run. The zero value: without the race
// detector, with this process's environment.
type VirtcastOptions struct {
	// Race builds with the race detector; a race then fails the test.
	Race bool
	// Env is appended to the environment, as KEY=value.
	Env []string
	// Args are appended to the command line.
	Args []string
}

// VirtcastProcess is a virtcast that runs with a configuration file.
type VirtcastProcess struct {
	// ConfigFile is the configuration, which may be changed before a Start.
	ConfigFile string

	program string
	opts    VirtcastOptions
	dir     string
	proc    *process
}

// VirtcastProgram builds virtcast from the tree and returns the path of the executable.
func VirtcastProgram(t testing.TB, race bool) string {
	t.Helper()
	Require(t, "go")
	program, err := build("github.com/virtcast/virtcast/cmd/virtcast", "virtcast", race)
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	return program
}

// Virtcast builds virtcast, runs "virtcast run" with a configuration, and stops it when
// the test ends. It does not wait for anything.
func Virtcast(t testing.TB, config string, opts VirtcastOptions) *VirtcastProcess {
	t.Helper()
	dir := t.TempDir()
	v := &VirtcastProcess{
		ConfigFile: filepath.Join(dir, "virtcast.yaml"), program: VirtcastProgram(t, opts.Race), opts: opts, dir: dir,
	}
	if err := os.WriteFile(v.ConfigFile, []byte(config), 0o600); err != nil {
		t.Fatalf("lab: %v", err)
	}
	t.Cleanup(func() {
		v.Terminate(t)
		if strings.Contains(v.Log(), "WARNING: DATA RACE") {
			t.Error("lab: virtcast has a data race")
		}
		if t.Failed() {
			t.Logf("virtcast's log:\n%s", tail(v.Log(), 60))
		}
	})
	v.Start(t)
	return v
}

// Start runs virtcast again after it has ended.
func (v *VirtcastProcess) Start(t testing.TB) {
	t.Helper()
	if v.Running() {
		t.Fatal("lab: virtcast is running already")
	}
	cmd := command.Server(v.program, append([]string{"run", "-c", v.ConfigFile}, v.opts.Args...)...)
	cmd.Dir = v.dir
	cmd.Env = append(os.Environ(), v.opts.Env...)
	out, err := os.OpenFile(filepath.Join(v.dir, "stdout"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	defer out.Close() //nolint:errcheck // the child has its own descriptor
	cmd.Stdout = out
	if v.proc, err = spawn(cmd, filepath.Join(v.dir, "stderr")); err != nil {
		t.Fatalf("lab: %v", err)
	}
}

// Running reports whether virtcast has not ended.
func (v *VirtcastProcess) Running() bool { return v.proc != nil && v.proc.running() }

// Signal sends a signal; that virtcast has ended already is no error.
func (v *VirtcastProcess) Signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if err := v.proc.signal(sig); err != nil {
		t.Fatalf("lab: %v", err)
	}
}

// Kill9 ends virtcast with SIGKILL and waits for its end.
func (v *VirtcastProcess) Kill9(t testing.TB) {
	t.Helper()
	if err := v.proc.kill(); err != nil {
		t.Fatalf("lab: %v", err)
	}
}

// Terminate ends virtcast in order, if it runs. The test fails if it must be killed or
// if it ends with an error.
func (v *VirtcastProcess) Terminate(t testing.TB) {
	t.Helper()
	if !v.Running() {
		return
	}
	err := v.proc.terminate()
	if err == nil {
		err = v.proc.err
	}
	if err != nil {
		t.Errorf("lab: virtcast: %v", err)
	}
}

// Wait waits until virtcast has ended by itself and returns its exit code. The test
// fails if that takes longer than the timeout.
func (v *VirtcastProcess) Wait(t testing.TB, timeout time.Duration) int {
	t.Helper()
	if !v.proc.wait(timeout) {
		t.Fatalf("lab: virtcast has not ended within %v", timeout)
	}
	return v.proc.cmd.ProcessState.ExitCode()
}

// Log returns what virtcast has written to standard error since its first start.
func (v *VirtcastProcess) Log() string { return v.read("stderr") }

// Output returns what virtcast has written to standard output since its first start.
func (v *VirtcastProcess) Output() string { return v.read("stdout") }

func (v *VirtcastProcess) read(name string) string {
	text, err := os.ReadFile(filepath.Join(v.dir, name))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// AwaitLog waits until the log contains each of the texts.
func (v *VirtcastProcess) AwaitLog(t testing.TB, timeout time.Duration, texts ...string) {
	t.Helper()
	Eventually(t, timeout, func() error {
		log := v.Log()
		var err error
		for _, text := range texts {
			if !strings.Contains(log, text) {
				err = errors.Join(err, fmt.Errorf("virtcast's log does not contain %q", text))
			}
		}
		if err != nil && !v.Running() {
			return &endedError{errors.Join(err, v.proc.err)}
		}
		return err
	})
}
