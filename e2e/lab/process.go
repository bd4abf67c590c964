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

// Patience is how long tests wait for something that takes a second at most on an idle
// machine. It is generous since tests share few and busy cores.
const Patience = 2 * time.Minute

const (
	// startTimeout bounds how long a part may take to answer after its start. A Kafka broker
	// takes 5 s on an idle machine, and more than a minute on a very busy one.
	startTimeout = 3 * time.Minute
	// stopTimeout bounds how long a part may take to end when asked to.
	stopTimeout = time.Minute
	// fetchTimeout bounds how long foreign programs may take to be fetched and built.
	fetchTimeout = 8 * time.Minute
	// toolTimeout bounds what a tool of Kafka's, or a program of e2e/interop, may take.
	toolTimeout = 3 * time.Minute
	// virshTimeout bounds what virsh may take.
	virshTimeout = Patience
	// pollInterval is the pause between two looks at something that is awaited.
	pollInterval = 10 * time.Millisecond
)

// process is a child process whose output goes to a file. The child is killed when
// the test process dies.
type process struct {
	cmd  *command.Cmd
	done chan struct{} // closed when the child was waited for
	err  error         // of Wait; valid once done is closed
}

// spawn starts cmd with its output appended to logPath.
func spawn(cmd *command.Cmd, logPath string) (*process, error) {
	out, err := os.OpenFile(logPath, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close() //nolint:errcheck // the child has its own descriptor
	if cmd.Stdout == nil {
		cmd.Stdout = out
	}
	cmd.Stderr = out
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// running reports whether the process has not ended yet.
func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// signal sends sig; that the process has ended already is no error.
func (p *process) signal(sig os.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %s: %w", p.cmd.Path, err)
	}
	return nil
}

// pause stops the process without ending it, and waits until each of its threads has
// stopped: on a busy machine, one that runs may go on for a while after the signal.
func (p *process) pause() error {
	if err := p.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	tasks := fmt.Sprintf("/proc/%d/task/*/stat", p.cmd.Process.Pid)
	return poll(stopTimeout, func() error {
		if !p.running() {
			return &endedError{p.err}
		}
		files, err := filepath.Glob(tasks)
		if err != nil {
			return err
		}
		for _, file := range files {
			stat, err := os.ReadFile(file)
			if err != nil {
				continue // the thread has ended
			}
			if _, state, _ := strings.Cut(string(stat), ") "); !strings.HasPrefix(state, "T") {
				return fmt.Errorf("%s has not stopped: thread %s is in state %.1s", p.cmd, file, state)
			}
		}
		return nil
	})
}

// wait waits for the end and reports whether it came in time.
func (p *process) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-p.done:
		return true
	case <-timer.C:
		return false
	}
}

// terminate asks the process to end, kills it after stopTimeout, and waits.
func (p *process) terminate() error {
	if err := p.signal(syscall.SIGTERM); err != nil {
		return err
	}
	if p.wait(stopTimeout) {
		return nil
	}
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	err := fmt.Errorf("%s did not end within %v of SIGTERM and was killed", p.cmd, stopTimeout)
	return errors.Join(err, p.awaitKilled())
}

// kill kills the process and waits for it.
func (p *process) kill() error {
	return errors.Join(p.signal(syscall.SIGKILL), p.awaitKilled())
}

// awaitKilled waits until a killed process has ended.
func (p *process) awaitKilled() error {
	if !p.wait(stopTimeout) {
		return fmt.Errorf("%s did not end within %v of SIGKILL", p.cmd, stopTimeout)
	}
	return nil
}

// Eventually calls check until it returns nil. After the timeout it fails the test with
// check's last error. Tests use it to wait for the work of other processes, where no
// event announces the end.
func Eventually(t testing.TB, timeout time.Duration, check func() error) {
	t.Helper()
	if err := poll(timeout, check); err != nil {
		t.Fatalf("after %v: %v", timeout, err)
	}
}

// endedError is returned by a check that can no longer succeed, since the process that
// should answer has ended.
type endedError struct{ err error }

func (e *endedError) Error() string { return fmt.Sprintf("the process has ended: %v", e.err) }
func (e *endedError) Unwrap() error { return e.err }

func poll(timeout time.Duration, check func() error) error {
	deadline := time.Now().Add(timeout)
	for {
		err := check()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		if ended := (*endedError)(nil); errors.As(err, &ended) {
			return err
		}
		time.Sleep(pollInterval)
	}
}

// tempDir makes a directory with a short path, since the path of a unix socket has at
// most 107 bytes and t.TempDir's is long. It is removed when the test ends.
func tempDir(t testing.TB, name string) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "lab-"+name+"-") //nolint:usetesting // t.TempDir's path is too long for sockets
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("lab: %v", err)
		}
	})
	return dir
}

// tail returns the last lines of a text.
func tail(text string, lines int) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
