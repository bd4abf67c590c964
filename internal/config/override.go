package config

import (
	"fmt"
	"strings"

	"github.com/virtcast/virtcast/sinks/kafka"
	"github.com/virtcast/virtcast/sinks/nats"
)

// Overrides are what the flags of the command line say instead of the file. Zero fields
// override nothing.
type Overrides struct {
	DataDir   string
	LogLevel  string
	LogFormat string
	// MetricsListen is where Prometheus finds the metrics.
	MetricsListen string
	// Connect replaces the connections. Each is [name=]URI.
	Connect []string
	// NATS (a server's URL) and Kafka (brokers) replace the sinks.
	NATS  string
	Kafka []string
}

// Apply puts what is set into c, and validates the whole. What fails is an
// [InvalidError].
func (o Overrides) Apply(c *Config) error {
	set := func(v *string, flag string) {
		if flag != "" {
			*v = flag
		}
	}
	set(&c.DataDir, o.DataDir)
	set(&c.Log.Level, o.LogLevel)
	set(&c.Log.Format, o.LogFormat)
	set(&c.Metrics.Listen, o.MetricsListen)
	if len(o.Connect) > 0 {
		c.Connections = o.connections()
		for i := range c.Registrations {
			c.Registrations[i].Connections = nil // they named the configured ones
		}
	}
	if o.ReplacesSinks() {
		c.Sinks = o.sinks()
		for i := range c.Registrations {
			c.Registrations[i].Sinks = nil
		}
	}
	if err := c.Validate(); err != nil {
		return &InvalidError{fmt.Errorf("with the flags of the command line:\n%w", err)}
	}
	return nil
}

// ReplacesSinks reports whether the flags name sinks.
func (o Overrides) ReplacesSinks() bool { return o.NATS != "" || len(o.Kafka) > 0 }

// sinks are the sinks that the flags name.
func (o Overrides) sinks() []Sink {
	var sinks []Sink
	if o.NATS != "" {
		sinks = append(sinks, Sink{Name: "nats", NATS: &nats.Config{URL: o.NATS, Create: true}})
	}
	if len(o.Kafka) > 0 {
		sinks = append(sinks, Sink{Name: "kafka", Kafka: &kafka.Config{Brokers: o.Kafka, Create: &kafka.CreateConfig{}}})
	}
	return sinks
}

// connections makes connections of Connect. A URI without a name gets one.
func (o Overrides) connections() []Connection {
	all := make([]Connection, len(o.Connect))
	for i, v := range o.Connect {
		name, uri, named := strings.Cut(v, "=")
		if !named || !goodName.MatchString(name) {
			name, uri = fmt.Sprintf("hypervisor-%d", i+1), v
			if len(o.Connect) == 1 {
				name = "hypervisor"
			}
		}
		all[i] = Connection{Name: name, URI: uri}
	}
	return all
}
