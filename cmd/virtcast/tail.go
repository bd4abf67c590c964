package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/virtcast/virtcast/schema"
	"github.com/virtcast/virtcast/sinks/nats"
)

// tailFlags are the flags of tail.
type tailFlags struct {
	config, sink string
	url, stream  string
	creds        string
	subject      string
	connections  []string
	domain       string
	since        time.Duration
	all          bool
	core         bool
	json         bool
}

func newTailCommand() *cobra.Command {
	var flags tailFlags
	c := &cobra.Command{
		Use:   "tail",
		Short: "Print what is published on NATS, as it comes",
		Long: `Tail subscribes to what a virtcast publishes on NATS and prints a line, or with --json the
CloudEvent, for each event, until it is interrupted.

Where: the NATS sink of a configuration (-c), else --nats, else the embedded server of a
virtcast that runs on this machine, else nats://127.0.0.1:4222.`,
		Example: `  virtcast tail
  virtcast tail --since 1h --domain web-1
  virtcast tail --nats nats://nats.example.com:4222 --creds user.creds --connection kvm01
  virtcast tail --subject 'virt.*.*.lifecycle.stopped.*' --json | jq .
  virtcast tail -c virtcast.yaml --all`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			source, err := flags.source()
			if err != nil {
				return err
			}
			return flags.follow(c.Context(), source, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f := c.Flags()
	f.StringVarP(&flags.config, "config", "c", "", "take the NATS sink of this configuration `file`")
	f.StringVar(&flags.sink, "sink", "", "which sink of the configuration, if there are several of NATS")
	f.StringVar(&flags.url, "nats", "", "the NATS server's `URL`")
	f.StringVar(&flags.stream, "stream", "", "the JetStream stream (default VIRTCAST)")
	f.StringVar(&flags.creds, "creds", "", "log in with this .creds `file`")
	f.StringVar(&flags.subject, "subject", "", "only this NATS `subject`, wildcards allowed")
	f.StringArrayVar(&flags.connections, "connection", nil, "only this connection (may be repeated)")
	f.StringVar(&flags.domain, "domain", "", "only the domain with this `name or UUID`")
	f.DurationVar(&flags.since, "since", 0, "begin this long ago, such as 1h")
	f.BoolVar(&flags.all, "all", false, "begin with the oldest event of the stream")
	f.BoolVar(&flags.core, "core", false, "core NATS, without JetStream: only what is published from now on")
	f.BoolVar(&flags.json, "json", false, "print CloudEvents, one a line")
	c.MarkFlagsMutuallyExclusive("config", "nats")
	c.MarkFlagsMutuallyExclusive("since", "all", "core")
	return c
}

// source returns where to read.
func (f tailFlags) source() (nats.Config, error) {
	var c nats.Config
	switch {
	case f.config != "":
		found, err := natsSinkOf(f.config, f.sink)
		if err != nil {
			return c, err
		}
		c = *found
	case f.url != "":
		c.URL = f.url
	default:
		c.URL = readEndpoint()
	}
	if f.stream != "" {
		c.Stream = f.stream
	}
	if f.creds != "" {
		c.Creds = f.creds
	}
	if f.core {
		c.Mode = nats.ModeCore
	}
	if err := c.Validate(""); err != nil {
		return c, usageError{err}
	}
	return c, nil
}

// natsSinkOf returns the NATS sink of a configuration: the named one, or the only one.
func natsSinkOf(file, name string) (*nats.Config, error) {
	c, err := loadConfig(file)
	if err != nil {
		return nil, err
	}
	var found []SinkConfig
	for _, s := range c.Sinks {
		if s.NATS != nil && (name == "" || s.Name == name) {
			found = append(found, s)
		}
	}
	switch {
	case len(found) == 1:
		return found[0].NATS, nil
	case len(found) > 1:
		return nil, usageError{fmt.Errorf("%s has %d NATS sinks: choose one with --sink", file, len(found))}
	case name != "":
		return nil, usageError{fmt.Errorf("%s has no NATS sink named %q", file, name)}
	default:
		return nil, usageError{fmt.Errorf("%s has no NATS sink", file)}
	}
}

// readEndpoint returns the URL that an embedded server left, or NATS's default.
func readEndpoint() string {
	if name, err := endpointFile(); err == nil {
		if data, err := os.ReadFile(name); err == nil {
			return strings.TrimSpace(string(data))
		}
	}
	return embeddedURL
}

// follow prints until ctx ends.
func (f tailFlags) follow(ctx context.Context, source nats.Config, out, errOut io.Writer) error {
	opts := nats.FollowOptions{Subject: f.subject, All: f.all, Interrupted: func(err error) {
		if err != nil {
			complain(errOut, fmt.Errorf("virtcast tail: %w; connecting again", err))
			return
		}
		complain(errOut, errors.New("virtcast tail: connected again"))
	}}
	if f.since > 0 {
		opts.Since = time.Now().Add(-f.since)
	}
	show := f.printer(out)
	err := nats.Follow(ctx, source, opts, func(m nats.Message) error {
		if m.Err != nil {
			_, err := fmt.Fprintf(errOut, "virtcast tail: skipped a message on %s: %v\n", printable(m.Subject), m.Err)
			return err
		}
		if !f.wants(&m.Event) {
			return nil
		}
		return show(&m.Event)
	})
	if err != nil {
		return errors.Join(err, errors.New("is a virtcast publishing there? start one with: virtcast run"))
	}
	return nil
}

// printer returns what prints one event.
func (f tailFlags) printer(out io.Writer) func(*schema.Event) error {
	if !f.json {
		return newLineWriter(out).write
	}
	var buf []byte
	return func(e *schema.Event) error {
		buf = append(schema.AppendJSON(buf[:0], e), '\n')
		_, err := out.Write(buf)
		return err
	}
}

// wants applies the filters that are not NATS's. A gap concerns every domain of its connection.
func (f tailFlags) wants(e *schema.Event) bool {
	if len(f.connections) > 0 && !slices.Contains(f.connections, e.Connection.Name) {
		return false
	}
	if f.domain == "" || e.Kind.Family() == schema.FamilyConnection {
		return true
	}
	return f.domain == e.Domain.Name || strings.EqualFold(f.domain, e.Domain.UUID.String())
}
