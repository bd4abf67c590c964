package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/virtcast/virtcast/internal/config"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1 // it was right to try, and it failed
	exitUsage   = 2 // the command line or the configuration is wrong
)

// usageError marks what the user has to correct on the command line before trying again.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// execute runs the command line and returns the exit code. It is main without the process
// around it.
func execute(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	root := newRootCommand() //nolint:contextcheck // cobra hands ctx to each command
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	err := root.ExecuteContext(ctx)
	var usage usageError
	var invalid *config.InvalidError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage), errors.As(err, &invalid):
		complain(errOut, err)
		return exitUsage
	default:
		complain(errOut, fmt.Errorf("virtcast: %w", err))
		return exitFailure
	}
}

// complain writes an error for people. A failure is ignored: there is no other place to
// report to.
func complain(errOut io.Writer, err error) { _, _ = fmt.Fprintln(errOut, err) }

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "virtcast",
		Short: "What happens to your virtual machines, as CloudEvents on NATS and Kafka",
		Long: `virtcast watches libvirt connections, wraps every domain event as a CloudEvent and
publishes it: ordered per domain, durable once received, every gap declared.`,
		Example: `  virtcast run                       # watch this machine (or a simulated one) with an embedded NATS server
  virtcast tail                      # in a second terminal: what is published
  virtcast check -c virtcast.yaml    # is the configuration right, and what would it do?
  virtcast run -c virtcast.yaml`,
		Args:          knownCommand,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w\nsee %s --help", err, c.CommandPath())}
	})
	root.AddCommand(newRunCommand(), newCheckCommand(), newTailCommand(), newDeadLetterCommand(), newVersionCommand())
	return root
}

// knownCommand refuses what is no command, and names the nearest ones.
func knownCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := "see " + c.CommandPath() + " --help"
	c.SuggestionsMinimumDistance = 2
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "?"
	}
	return usageError{fmt.Errorf("unknown command %q; %s", args[0], hint)}
}

// noArgs refuses arguments, and flags that exclude each other, with errors of the usage
// kind.
func noArgs(c *cobra.Command, args []string) error {
	err := c.ValidateFlagGroups()
	if len(args) > 0 {
		err = fmt.Errorf("%s takes no argument, got %q", c.CommandPath(), args[0])
	}
	if err != nil {
		return usageError{fmt.Errorf("%w\nsee %s --help", err, c.CommandPath())}
	}
	return nil
}
