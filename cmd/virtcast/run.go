package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"github.com/virtcast/virtcast/sinks/kafka"
	"github.com/virtcast/virtcast/sinks/nats"
)

// runFlags are the flags of run. What is set overrides the configuration.
type runFlags struct {
	config        string
	dataDir       string
	connect       []string
	natsURL       string
	kafka         []string
	logLevel      string
	logFormat     string
	metricsListen string
	demo          bool
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
				return runEmbedded(c.Context(), flags, c.OutOrStdout(), c.ErrOrStderr())
			}
			config, err := loadConfig(flags.config)
			if err != nil {
				return err
			}
			if err := flags.override(config); err != nil {
				return err
			}
			log := newLogger(config.Log, c.ErrOrStderr())
			return runConfigured(c.Context(), config, log, sinkTools{log: log})
		},
	}
	f := c.Flags()
	f.StringVarP(&flags.config, "config", "c", "", "the configuration `file` (YAML); absent: the embedded defaults")
	f.StringVar(&flags.dataDir, "data-dir", "", "the `directory` of the journal, instead of the configuration's data_dir")
	f.StringArrayVar(&flags.connect, "connect", nil, "watch this `[name=]URI`, instead of the configured connections (may be repeated)")
	f.StringVar(&flags.natsURL, "nats", "", "publish to this NATS server `URL`, instead of to the configured sinks")
	f.StringSliceVar(&flags.kafka, "kafka", nil, "publish to these Kafka `brokers`, instead of to the configured sinks")
	f.StringVar(&flags.logLevel, "log-level", "", "debug, info, warn or error")
	f.StringVar(&flags.logFormat, "log-format", "", "text or json")
	f.StringVar(&flags.metricsListen, "metrics-listen", "", "serve Prometheus metrics at this `address`, such as 127.0.0.1:9177")
	f.BoolVar(&flags.demo, "demo", false, "watch the simulated hypervisor (not with -c or --connect)")
	c.MarkFlagsMutuallyExclusive("demo", "config")
	c.MarkFlagsMutuallyExclusive("demo", "connect")
	return c
}

// override puts the flags that are set into a configuration, and validates the whole.
func (f runFlags) override(c *Config) error {
	set := func(v *string, flag string) {
		if flag != "" {
			*v = flag
		}
	}
	set(&c.DataDir, f.dataDir)
	set(&c.Log.Level, f.logLevel)
	set(&c.Log.Format, f.logFormat)
	set(&c.Metrics.Listen, f.metricsListen)
	if len(f.connect) > 0 {
		c.Connections = connectionsOf(f.connect)
		for i := range c.Registrations {
			c.Registrations[i].Connections = nil // they named the configured ones
		}
	}
	if sinks := f.sinks(); len(sinks) > 0 {
		c.Sinks = sinks
		for i := range c.Registrations {
			c.Registrations[i].Sinks = nil
		}
	}
	if err := c.Validate(); err != nil {
		return usageError{fmt.Errorf("with the flags of the command line:\n%w", err)}
	}
	return nil
}

// sinks are the sinks that the flags name.
func (f runFlags) sinks() []SinkConfig {
	var sinks []SinkConfig
	if f.natsURL != "" {
		sinks = append(sinks, SinkConfig{Name: "nats", NATS: &nats.Config{URL: f.natsURL, Create: true}})
	}
	if len(f.kafka) > 0 {
		sinks = append(sinks, SinkConfig{Name: "kafka", Kafka: &kafka.Config{Brokers: f.kafka, Create: &kafka.CreateConfig{}}})
	}
	return sinks
}

// connectionsOf makes connections of --connect's values. A URI without a name gets one.
func connectionsOf(values []string) []ConnectionConfig {
	all := make([]ConnectionConfig, len(values))
	for i, v := range values {
		name, uri, named := strings.Cut(v, "=")
		if !named || !goodName.MatchString(name) {
			name, uri = fmt.Sprintf("hypervisor-%d", i+1), v
			if len(values) == 1 {
				name = "hypervisor"
			}
		}
		all[i] = ConnectionConfig{Name: name, URI: uri}
	}
	return all
}

// runConfigured runs a validated configuration until ctx ends.
func runConfigured(ctx context.Context, c *Config, log *slog.Logger, tools sinkTools) error {
	j, err := openJournal(c, log)
	if err != nil {
		return err
	}
	s, err := newService(ctx, c, log, j, libvirtDrivers(log), tools)
	if err != nil {
		return err
	}
	return s.runAndClose(ctx)
}
