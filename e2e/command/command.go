package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"sync/atomic"
	"time"
)

const (
	// waitDelay is how long a program's output may stay open behind its end: a process
	// that it has left behind may hold it open for ever.
	waitDelay = 5 * time.Second
	// maxName bounds the arguments in an error.
	maxName = 400
)

// Cmd is a program to be run once. What [exec.Cmd] has to be set, such as Dir, Env and
// Stdin, is set before Start.
type Cmd struct {
	*exec.Cmd

	within  time.Duration // 0 for a server
	cancel  context.CancelFunc
	started time.Time
	timer   *time.Timer
	late    atomic.Bool // the deadline has passed
}

// DeadlineError is returned when a program has been killed since it did not end in time.
type DeadlineError struct {
	// Command is the program with its arguments.
	Command string
	// Started is when it was started, and Within what it had.
	Started time.Time
	Within  time.Duration
}

func (e *DeadlineError) Error() string {
	const clock = "15:04:05.000"
	return fmt.Sprintf("%s did not end within %v and was killed (it ran from %s to %s)",
		e.Command, e.Within, e.Started.Format(clock), e.Started.Add(e.Within).Format(clock))
}

// New returns a command that has to end within a time from its start, and before ctx
// ends.
func New(ctx context.Context, within time.Duration, name string, args ...string) *Cmd {
	ctx, cancel := context.WithCancel(ctx)
	c := &Cmd{Cmd: exec.CommandContext(ctx, name, args...), within: within, cancel: cancel}
	c.Cmd.Cancel = func() error { return killGroup(c.Process) }
	c.WaitDelay = waitDelay
	return c
}

// Server returns a command that runs until its owner ends it.
func Server(name string, args ...string) *Cmd {
	c := &Cmd{Cmd: exec.Command(name, args...), cancel: func() {}}
	c.WaitDelay = waitDelay
	return c
}

// Start starts the program. Wait must be called after it.
func (c *Cmd) Start() error {
	dieWithParent(c.Cmd)
	if c.within > 0 {
		ownGroup(c.Cmd)
	}
	c.started = time.Now()
	if err := c.Cmd.Start(); err != nil {
		c.cancel()
		return fmt.Errorf("start %s: %w", c, err)
	}
	if c.within > 0 {
		c.timer = time.AfterFunc(c.within, func() {
			c.late.Store(true)
			c.cancel()
		})
	}
	return nil
}

// Wait waits until the program has ended. The error is a [*DeadlineError] if it was
// killed at its deadline.
func (c *Cmd) Wait() error {
	err := c.Cmd.Wait()
	if c.timer != nil {
		c.timer.Stop()
	}
	c.cancel()
	switch {
	case err == nil:
		return nil
	case c.late.Load():
		return &DeadlineError{Command: c.String(), Started: c.started, Within: c.within}
	case errors.Is(err, exec.ErrWaitDelay):
		return fmt.Errorf("%s has ended, but a process that it left behind held its output for more than %v: %w", c, waitDelay, err)
	default:
		return err
	}
}

// Kill kills a program that was started; of one with a deadline, all that it has started too.
// Wait must still be called. A program that has ended is left alone.
func (c *Cmd) Kill() {
	if c.within > 0 {
		c.cancel()
		return
	}
	_ = c.Process.Kill() // ended is as good as killed
}

// Run starts the program and waits until it has ended.
func (c *Cmd) Run() error {
	if err := c.Start(); err != nil {
		return err
	}
	return c.Wait()
}

// Output runs the program and returns its standard output. An error has what the program
// wrote to its standard error, unless Stderr was set.
func (c *Cmd) Output() ([]byte, error) {
	var stdout, stderr bytes.Buffer
	c.Stdout = &stdout
	if c.Stderr == nil {
		c.Stderr = &stderr
	}
	err := c.Run()
	if err != nil && stderr.Len() > 0 {
		err = fmt.Errorf("%w\n%s", err, stderr.Bytes())
	}
	return stdout.Bytes(), err
}

// CombinedOutput runs the program and returns its standard output and standard error.
func (c *Cmd) CombinedOutput() ([]byte, error) {
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err := c.Run()
	return out.Bytes(), err
}

// String returns the program with its arguments; very long ones are cut.
func (c *Cmd) String() string {
	name := c.Cmd.String()
	if len(name) > maxName {
		name = name[:maxName] + " ..."
	}
	return name
}
