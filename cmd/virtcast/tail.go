package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/virtcast/virtcast/schema"
)

// tailFlags are the flags of tail.
type tailFlags struct {
	config, sink string
	nats         string
	stream       string
	creds        string
	subject      string
	core         bool
	kafka        []string
	topic        string
	connections  []string
	domain       string
	since        time.Duration
	all          bool
	json         bool
}

func newTailCommand() *cobra.Command {
	var flags tailFlags
	c := &cobra.Command{
		Use:   "tail",
		Short: "Print what is published on NATS or Kafka, as it comes",
		Long: `Tail reads what a virtcast publishes on NATS or Kafka and prints a line, or with --json the
CloudEvent, for each event, until it is interrupted.

Where: a NATS or Kafka sink of a configuration (-c), else --nats or --kafka, else the embedded
server of a virtcast that runs on this machine, else nats://127.0.0.1:4222.`,
		Example: `  virtcast tail
  virtcast tail --since 1h --domain web-1
  virtcast tail --nats nats://nats.example.com:4222 --creds user.creds --connection kvm01
  virtcast tail --subject 'virt.*.*.lifecycle.stopped.*' --json | jq .
  virtcast tail --kafka kafka1.example.com:9092 --all
  virtcast tail -c virtcast.yaml --sink log --since 10m`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			source, err := flags.source()
			if err != nil {
				return err
			}
			return flags.print(c.Context(), source, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f := c.Flags()
	f.StringVarP(&flags.config, "config", "c", "", "read what a sink of this configuration `file` writes")
	f.StringVar(&flags.sink, "sink", "", "the `name` of that sink, if there are several of NATS and Kafka")
	f.StringVar(&flags.nats, "nats", "", "the NATS server's `URL`")
	f.StringVar(&flags.stream, "stream", "", "the JetStream stream (default VIRTCAST)")
	f.StringVar(&flags.creds, "creds", "", "log in with this .creds `file`")
	f.StringVar(&flags.subject, "subject", "", "only this NATS `subject`, wildcards allowed")
	f.BoolVar(&flags.core, "core", false, "core NATS, without JetStream: only what is published from now on")
	f.StringSliceVar(&flags.kafka, "kafka", nil, "the Kafka `brokers`, such as kafka1:9092,kafka2:9092 (logins and TLS: -c)")
	f.StringVar(&flags.topic, "topic", "", "the Kafka `topic` or template (default virt.events)")
	f.StringArrayVar(&flags.connections, "connection", nil, "only this connection (may be repeated)")
	f.StringVar(&flags.domain, "domain", "", "only the domain with this `name or UUID`")
	f.DurationVar(&flags.since, "since", 0, "begin this long ago, such as 1h")
	f.BoolVar(&flags.all, "all", false, "begin with the oldest event that is kept")
	f.BoolVar(&flags.json, "json", false, "print CloudEvents, one a line")
	c.MarkFlagsMutuallyExclusive("config", "nats", "kafka")
	c.MarkFlagsMutuallyExclusive("since", "all", "core")
	return c
}

// print prints what a source holds until ctx ends.
func (f tailFlags) print(ctx context.Context, source tailSource, out, errOut io.Writer) error {
	view := tailView{all: f.all, interrupted: func(err error) {
		if err != nil {
			complain(errOut, fmt.Errorf("virtcast tail: %w; trying again", err))
			return
		}
		complain(errOut, errors.New("virtcast tail: connected again"))
	}}
	if f.since > 0 {
		view.since = time.Now().Add(-f.since)
	}
	show := f.printer(out)
	err := source(ctx, view, func(place string, e *schema.Event, err error) error {
		if err != nil {
			_, err := fmt.Fprintf(errOut, "virtcast tail: skipped a message %s: %v\n", printable(place), err)
			return err
		}
		if !f.wants(e) {
			return nil
		}
		return show(e)
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

// wants applies the filters that are not the server's. A gap concerns every domain of its
// connection.
func (f tailFlags) wants(e *schema.Event) bool {
	if len(f.connections) > 0 && !slices.Contains(f.connections, e.Connection.Name) {
		return false
	}
	if f.domain == "" || e.Kind.Family() == schema.FamilyConnection {
		return true
	}
	return f.domain == e.Object.Name || strings.EqualFold(f.domain, e.Object.UUID.String())
}
