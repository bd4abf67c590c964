package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/virtcast/virtcast/internal/config"
	"github.com/virtcast/virtcast/internal/service"
)

// runFlags are the flags of run. Those that are set override the configuration.
type runFlags struct {
	config string
	demo   bool
	over   config.Overrides
}

func newRunCommand() *cobra.Command {
	var flags runFlags
	c := &cobra.Command{
		Use:   "run",
		Short: "Watch hypervisors and publish their events, until interrupted",
		Long: `Run watches every configured connection and publishes to every configured sink until it
is interrupted (SIGINT or SIGTERM; a second one ends it at once).

Without -c it needs nothing: it watches the local libvirt if there is one, else a
simulated hypervisor, starts a NATS server with JetStream on the loopback, and prints each event.`,
		Example: `  virtcast run                                  # embedded defaults
  virtcast run --demo                           # the simulated hypervisor, even if there is a libvirt
  virtcast run --connect kvm01=qemu+tls://kvm01.example.com/system
  virtcast run --connect qemu:///system --nats nats://nats.example.com:4222
  virtcast run --connect qemu:///system --kafka kafka1.example.com:9092,kafka2.example.com:9092
  virtcast run -c virtcast.yaml --log-level debug`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if flags.config == "" {
				return flags.runEmbedded(c.Context(), c.OutOrStdout(), c.ErrOrStderr())
			}
			return flags.run(c.Context(), c.ErrOrStderr())
		},
	}
	f := c.Flags()
	f.StringVarP(&flags.config, "config", "c", "", "the configuration `file` (YAML); absent: the embedded defaults")
	f.StringVar(&flags.over.DataDir, "data-dir", "", "the `directory` of the journal, instead of the configuration's data_dir")
	f.StringArrayVar(&flags.over.Connect, "connect", nil, "watch this `[name=]URI`, instead of the configured connections (may be repeated)")
	f.StringVar(&flags.over.NATS, "nats", "", "publish to this NATS server `URL`, instead of to the configured sinks")
	f.StringSliceVar(&flags.over.Kafka, "kafka", nil, "publish to these Kafka `brokers`, instead of to the configured sinks")
	f.StringVar(&flags.over.LogLevel, "log-level", "", "debug, info, warn or error")
	f.StringVar(&flags.over.LogFormat, "log-format", "", "text or json")
	f.StringVar(&flags.over.MetricsListen, "metrics-listen", "", "serve Prometheus metrics at this `address`, such as 127.0.0.1:9177")
	f.BoolVar(&flags.demo, "demo", false, "watch the simulated hypervisor (not with -c or --connect)")
	c.MarkFlagsMutuallyExclusive("demo", "config")
	c.MarkFlagsMutuallyExclusive("demo", "connect")
	return c
}

// run runs a configuration until ctx ends.
func (f runFlags) run(ctx context.Context, errOut io.Writer) error {
	c, err := config.Load(f.config)
	if err != nil {
		return err
	}
	if err := f.over.Apply(c); err != nil {
		return err
	}
	s, err := service.New(c, service.Options{Logger: c.Log.Logger(errOut), Version: versionLine()})
	if err != nil {
		return err
	}
	return s.Run(ctx)
}

// runEmbedded runs without a configuration until ctx ends, and prints events as lines.
func (f runFlags) runEmbedded(ctx context.Context, out, errOut io.Writer) error {
	e, err := service.NewEmbedded(ctx, service.EmbeddedOptions{
		Overrides: f.over,
		Demo:      f.demo,
		LogTo:     errOut,
		Version:   versionLine(),
		Sinks:     []service.NamedSink{{Name: "screen", Sink: &screen{newLineWriter(out)}}},
	})
	if err != nil {
		return err
	}
	if err := f.introduce(out, e); err != nil {
		return errors.Join(err, e.Close())
	}
	return e.Run(ctx)
}

// introduce prints what an embedded run watches, and how to subscribe to what it
// publishes.
func (f runFlags) introduce(out io.Writer, e *service.Embedded) error {
	var watches string
	for _, conn := range e.Config.Connections {
		watches += fmt.Sprintf("  watches   %s (%s)\n", conn.URI, conn.Name)
	}
	hint := "  start, suspend or stop a domain (virsh), and its events appear below\n"
	if e.Simulated() {
		watches = "  watches   a simulated hypervisor: no libvirt answers on this machine (or --demo was given)\n"
		hint = ""
	}
	var publishes []string
	for i := range e.Config.Sinks {
		text, err := e.Config.Sinks[i].Describe()
		if err != nil {
			return err
		}
		publishes = append(publishes, text)
	}
	_, err := fmt.Fprintf(out, `%s, without a configuration
%s  publishes %s
  subscribe %s
  keeps     its journal and the stream in %s
  stop with Ctrl-C
%s
`, versionLine(), watches, strings.Join(publishes, "; "), f.subscribe(), e.Config.DataDir, hint)
	return err
}

// subscribe returns the command that prints what is published.
func (f runFlags) subscribe() string {
	var commands []string
	if f.over.NATS != "" {
		commands = append(commands, "virtcast tail --nats "+f.over.NATS)
	}
	if len(f.over.Kafka) > 0 {
		commands = append(commands, "virtcast tail --kafka "+strings.Join(f.over.Kafka, ","))
	}
	if len(commands) == 0 {
		return "virtcast tail        (from the source: go run ./cmd/virtcast tail)"
	}
	return strings.Join(commands, "; ")
}
