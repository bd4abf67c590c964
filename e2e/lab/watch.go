package lab

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/virtcast/virtcast/e2e/command"
)

// Hold keeps a connection open until the test ends. The test driver forgets the domains
// of test:///default when its last connection is closed.
func (d *Daemon) Hold(t testing.TB, uri string) {
	t.Helper()
	cmd := command.Server("virsh", "-q", "-c", d.URI(uri))
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	lines := follow(t, cmd)
	if _, err := io.WriteString(stdin, "hostname\n"); err != nil { // virsh connects at its first command
		t.Fatalf("lab: virsh: %v", err)
	}
	t.Cleanup(func() { _ = stdin.Close() }) // virsh may have ended with the daemon
	lines.Await(t, startTimeout, func(got []string) bool {
		return len(got) > 0 && strings.Contains(got[len(got)-1], d.Hostname)
	})
}

// Watch runs virsh event on a connection until the test ends: an observer that is
// independent of virtcast. It returns once every kind of event is registered.
func (d *Daemon) Watch(t testing.TB, uri string) *Lines {
	t.Helper()
	// virsh prints nothing when it has registered, but its library logs each call.
	log := t.TempDir() + "/virsh.log"
	cmd := command.Server("virsh", "-q", "-c", d.URI(uri), "event", "--all", "--loop")
	cmd.Env = append(os.Environ(), "LIBVIRT_LOG_FILTERS=1:libvirt", "LIBVIRT_LOG_OUTPUTS=1:file:"+log)
	lines := follow(t, cmd)
	Eventually(t, startTimeout, func() error {
		if !lines.proc.running() {
			return &endedError{lines.proc.err}
		}
		text, err := os.ReadFile(log)
		if err == nil && !bytes.Contains(text, []byte("eventID=26")) {
			err = errors.New("virsh has not registered its events yet")
		}
		return err
	})
	return lines
}

// Lines are what a program has written to its standard output so far.
type Lines struct {
	proc *process

	mu    sync.Mutex // guards lines
	lines []string
}

// follow starts cmd, which is killed when the test ends, and gathers its output.
func follow(t testing.TB, cmd *command.Cmd) *Lines {
	t.Helper()
	r, w := io.Pipe()
	cmd.Stdout = w
	p, err := spawn(cmd, t.TempDir()+"/stderr.log")
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	l := &Lines{proc: p}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for s := bufio.NewScanner(r); s.Scan(); {
			l.mu.Lock()
			l.lines = append(l.lines, s.Text())
			l.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		if err := p.kill(); err != nil {
			t.Errorf("lab: %v", err)
		}
		_ = w.Close() // never fails
		<-read
	})
	return l
}

// Get returns the lines so far.
func (l *Lines) Get() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.lines...)
}

// Await waits until done returns true for the lines so far, and returns these lines.
// After the timeout the test fails.
func (l *Lines) Await(t testing.TB, timeout time.Duration, done func(lines []string) bool) []string {
	t.Helper()
	Eventually(t, timeout, func() error {
		if got := l.Get(); !done(got) {
			return fmt.Errorf("the lines so far are not what was awaited:\n%s", strings.Join(got, "\n"))
		}
		return nil
	})
	return l.Get()
}
