package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/virtcast/virtcast/bridge/journal"
	"github.com/virtcast/virtcast/internal/config"
	"github.com/virtcast/virtcast/internal/service"
	"github.com/virtcast/virtcast/schema"
)

// deadLetterFlags are the flags of deadletter's commands.
type deadLetterFlags struct {
	config, dataDir string
	sink            string
	all, json       bool
}

func newDeadLetterCommand() *cobra.Command {
	var flags deadLetterFlags
	c := &cobra.Command{
		Use:   "deadletter",
		Short: "List, show, retry or drop the events that a sink refused for good",
		Long: `An event that a sink can never take, since it is too large for the broker, say, is kept as a
dead letter with the reason, and does not hold up the others. These commands work on the dead letters
of a data directory, whether a virtcast runs on it or not.

Where: the data_dir of a configuration (-c), else --data-dir, else that of a virtcast without a configuration.`,
		Example: `  virtcast deadletter list -c virtcast.yaml
  virtcast deadletter show -c virtcast.yaml 3
  virtcast deadletter retry -c virtcast.yaml --sink log --all
  virtcast deadletter drop -c virtcast.yaml 3 4`,
		Args: knownCommand,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	f := c.PersistentFlags()
	f.StringVarP(&flags.config, "config", "c", "", "the configuration `file` (YAML) that names the data directory")
	f.StringVar(&flags.dataDir, "data-dir", "", "the data `directory`")
	c.AddCommand(flags.newList(), flags.newShow(),
		flags.newChange("retry", "Put dead letters back, to be delivered to their sinks again",
			`Retry puts dead letters back at the end of the journal, each for its own sink alone. The sink gets the event
out of its domain's order, with the id and the sequences that it had. If the sink refuses it again, it becomes
a dead letter again, with a new number.`, "put back",
			func(ctx context.Context, d service.DeadLetters, ids []uint64) (int, error) { return d.Retry(ctx, ids) }),
		flags.newChange("drop", "Forget dead letters for good",
			`Drop forgets dead letters. Their events are gone: their sequence numbers stay missing at the sink.`, "dropped",
			func(ctx context.Context, d service.DeadLetters, ids []uint64) (int, error) { return d.Drop(ctx, ids) }))
	return c
}

func (f *deadLetterFlags) newList() *cobra.Command {
	c := &cobra.Command{
		Use:     "list",
		Short:   "List the dead letters",
		Example: "  virtcast deadletter list -c virtcast.yaml --sink log",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			dead, err := f.open()
			if err != nil {
				return err
			}
			return f.list(c.OutOrStdout(), dead)
		},
	}
	c.Flags().StringVar(&f.sink, "sink", "", "only those of this `sink`")
	c.Flags().BoolVar(&f.json, "json", false, "print JSON, one dead letter a line")
	return c
}

func (f *deadLetterFlags) newShow() *cobra.Command {
	return &cobra.Command{
		Use:     "show NUMBER...",
		Short:   "Show dead letters in full, as JSON",
		Example: "  virtcast deadletter show -c virtcast.yaml 3",
		Args:    someArgs,
		RunE: func(c *cobra.Command, args []string) error {
			dead, err := f.open()
			if err != nil {
				return err
			}
			ids, err := parseIDs(args)
			if err != nil {
				return err
			}
			return show(c.OutOrStdout(), dead, ids)
		},
	}
}

// change is what a command does to dead letters; it returns to how many.
type change func(ctx context.Context, d service.DeadLetters, ids []uint64) (int, error)

func (f *deadLetterFlags) newChange(name, short, long, done string, do change) *cobra.Command {
	c := &cobra.Command{
		Use:     name + " (NUMBER... | --all)",
		Short:   short,
		Long:    long,
		Example: fmt.Sprintf("  virtcast deadletter %[1]s -c virtcast.yaml 3 4\n  virtcast deadletter %[1]s -c virtcast.yaml --sink log --all", name),
		RunE: func(c *cobra.Command, args []string) error {
			dead, err := f.open()
			if err != nil {
				return err
			}
			ids, err := f.chosen(dead, args)
			if err != nil {
				return err
			}
			n, err := do(c.Context(), dead, ids)
			if n > 0 || err == nil {
				if _, err := fmt.Fprintf(c.OutOrStdout(), "%d dead letters %s\n", n, done); err != nil {
					return err
				}
			}
			return err
		},
	}
	c.Flags().StringVar(&f.sink, "sink", "", "with --all: only those of this `sink`")
	c.Flags().BoolVar(&f.all, "all", false, "every dead letter")
	return c
}

func someArgs(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usageError{fmt.Errorf("%s needs a number; see virtcast deadletter list", c.CommandPath())}
	}
	return nil
}

// open returns the dead letters that the flags mean. It opens nothing yet.
func (f *deadLetterFlags) open() (service.DeadLetters, error) {
	c := &config.Config{DataDir: f.dataDir}
	var err error
	switch {
	case f.config != "":
		if c, err = config.Load(f.config); err == nil && f.dataDir != "" {
			c.DataDir = f.dataDir
		}
	case f.dataDir == "":
		c.DataDir, err = config.DefaultDataDir()
	}
	if err != nil {
		return service.DeadLetters{}, err
	}
	return service.DeadLettersOf(c), nil
}

// chosen returns the numbers that are named, or with --all those that there are.
func (f *deadLetterFlags) chosen(dead service.DeadLetters, args []string) ([]uint64, error) {
	switch {
	case f.all && len(args) > 0:
		return nil, usageError{errors.New("give numbers or --all, not both")}
	case !f.all && f.sink != "":
		return nil, usageError{errors.New("--sink goes with --all")}
	case !f.all && len(args) == 0:
		return nil, usageError{errors.New("give the numbers of dead letters (see virtcast deadletter list), or --all")}
	}
	ids, err := parseIDs(args)
	if err != nil {
		return nil, err
	}
	// Also where numbers are given: a directory without a journal must not become one.
	err = each(dead, func(d journal.DeadLetter) error {
		if f.all && (f.sink == "" || f.sink == d.Reader) {
			ids = append(ids, d.ID)
		}
		return nil
	})
	return ids, err
}

func parseIDs(args []string) ([]uint64, error) {
	ids := make([]uint64, len(args))
	for i, arg := range args {
		var err error
		if ids[i], err = strconv.ParseUint(arg, 10, 64); err != nil {
			return nil, usageError{fmt.Errorf("%q is no number of a dead letter; see virtcast deadletter list", arg)}
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

// each calls do for each dead letter, oldest first, until it returns an error.
func each(dead service.DeadLetters, do func(journal.DeadLetter) error) error {
	err := dead.Each(do)
	if errors.Is(err, journal.ErrNoJournal) {
		return usageError{fmt.Errorf("%w; name the data directory with -c or --data-dir", err)}
	}
	return err
}

// deadLetterView is a dead letter for people and programs to read.
type deadLetterView struct {
	Number uint64    `json:"number"`
	Sink   string    `json:"sink"`
	Time   time.Time `json:"time"`
	Reason string    `json:"reason"`
	// Event is the CloudEvent; absent where Unreadable says why there is none.
	Event      json.RawMessage `json:"event,omitempty"`
	Unreadable string          `json:"unreadable,omitempty"`
}

func viewOf(d *journal.DeadLetter) (deadLetterView, *schema.Event) {
	v := deadLetterView{Number: d.ID, Sink: d.Reader, Time: d.Time, Reason: d.Reason}
	e, _, err := schema.ParseRecord(d.Data, nil)
	if err != nil {
		v.Unreadable = err.Error()
		return v, nil
	}
	v.Event = schema.AppendJSON(nil, &e)
	return v, &e
}

// list prints a line for each dead letter.
func (f *deadLetterFlags) list(out io.Writer, dead service.DeadLetters) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	lines := 0
	err := each(dead, func(d journal.DeadLetter) error {
		if f.sink != "" && f.sink != d.Reader {
			return nil
		}
		view, e := viewOf(&d)
		if f.json {
			return json.NewEncoder(out).Encode(view)
		}
		if lines++; lines == 1 {
			if _, err := fmt.Fprintln(table, "NUMBER\tTIME\tSINK\tEVENT\tTYPE\tDOMAIN\tREASON"); err != nil {
				return err
			}
		}
		id, kind, domain := "-", "-", "-"
		if e != nil {
			id, kind = e.ID(), e.Type()
			if e.Object.Name != "" {
				domain = e.Object.Name
			}
		}
		_, err := fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\t%s\t%s\n", d.ID, d.Time.Local().Format(time.DateTime), d.Reader,
			id, kind, shortened(domain, 32), shortened(d.Reason, 160))
		return err
	})
	if err == nil && lines == 0 && !f.json {
		_, err = fmt.Fprintln(out, "no dead letters")
	}
	return errors.Join(err, table.Flush())
}

// shortened makes text of a hypervisor or a broker fit a table.
func shortened(text string, most int) string {
	runes := []rune(printable(text))
	if len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return string(runes)
}

// show prints dead letters in full.
func show(out io.Writer, dead service.DeadLetters, ids []uint64) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	found := map[uint64]bool{}
	err := each(dead, func(d journal.DeadLetter) error {
		if !slices.Contains(ids, d.ID) {
			return nil
		}
		found[d.ID] = true
		view, _ := viewOf(&d)
		return encoder.Encode(view)
	})
	for _, id := range ids {
		if err == nil && !found[id] {
			err = fmt.Errorf("%w: %d", journal.ErrNoDeadLetter, id)
		}
	}
	return err
}
