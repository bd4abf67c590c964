package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/virtcast/virtcast/bridge/journal"
	"github.com/virtcast/virtcast/sinks/jsonl"
	"github.com/virtcast/virtcast/sinks/kafka"
	"github.com/virtcast/virtcast/sinks/nats"
)

// Config is the whole of a configuration file.
type Config struct {
	// DataDir holds the journal. Required.
	DataDir string `yaml:"data_dir"`
	// Connections are the hypervisors to watch, Sinks are where their events go. At least
	// one of each is required.
	Connections []Connection `yaml:"connections"`
	Sinks       []Sink       `yaml:"sinks"`
	// Registrations say which events go where; none means that the lifecycle events of
	// every domain on every connection go to every sink.
	Registrations []Registration `yaml:"registrations"`
	Journal       Journal        `yaml:"journal"`
	Log           Log            `yaml:"log"`
	Metrics       Metrics        `yaml:"metrics"`
}

// Connection is one hypervisor.
type Connection struct {
	// Name is [a-z0-9-], 1 to 63 characters; it stands in subjects and attributes.
	Name string `yaml:"name"`
	// URI is a libvirt connection URI.
	URI string `yaml:"uri"`
	// Keepalive is how a dead peer is noticed.
	Keepalive Keepalive `yaml:"keepalive"`
}

// Keepalive bounds how long a dead peer goes unnoticed: interval × count.
type Keepalive struct {
	Interval time.Duration `yaml:"interval"` // default 5s
	Count    int           `yaml:"count"`    // default 5
}

// Registration is one registration. Absent fields mean: every connection, every domain,
// lifecycle, every sink.
type Registration struct {
	Connections []string `yaml:"connections"` // name patterns as in path.Match
	Domain      string   `yaml:"domain"`      // a UUID
	Events      []string `yaml:"events"`
	Sinks       []string `yaml:"sinks"`
}

// Sink is one sink: a name, and exactly one of the kinds.
type Sink struct {
	Name  string        `yaml:"name"`
	NATS  *nats.Config  `yaml:"nats"`
	Kafka *kafka.Config `yaml:"kafka"`
	JSONL *jsonl.Config `yaml:"jsonl"`
}

// Journal bounds the journal.
type Journal struct {
	// MaxBytes bounds the journal's log on disk; default 1GiB.
	MaxBytes ByteSize `yaml:"max_bytes"`
}

// Bytes returns the bound, or the journal's default where none is written.
func (j Journal) Bytes() int64 {
	if j.MaxBytes == 0 {
		return journal.DefaultMaxBytes
	}
	return int64(j.MaxBytes)
}

// Log is how the program logs, to standard error.
type Log struct {
	Level  string `yaml:"level"`  // debug, info (default), warn, error
	Format string `yaml:"format"` // text (default), json
}

// Metrics is where Prometheus finds the metrics.
type Metrics struct {
	// Listen is an address such as 127.0.0.1:9177; empty means no metrics.
	Listen string `yaml:"listen"`
}

// ByteSize is a number of bytes, written as 64MiB, 1GiB or 1000000.
type ByteSize int64

// UnmarshalText implements encoding.TextUnmarshaler.
func (b *ByteSize) UnmarshalText(text []byte) error {
	number, unit := strings.TrimSpace(string(text)), int64(1)
	for i, suffix := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if n, ok := strings.CutSuffix(number, suffix); ok {
			number, unit = strings.TrimSpace(n), 1<<(10*(i+1))
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/unit {
		return fmt.Errorf("%q is no size: write 64MiB, 1GiB or a number of bytes", text)
	}
	*b = ByteSize(n * unit)
	return nil
}

// SinkNames lists the names of the sinks, for people to choose from.
func (c *Config) SinkNames() string {
	all := make([]string, len(c.Sinks))
	for i, s := range c.Sinks {
		all[i] = s.Name
	}
	return strings.Join(all, ", ")
}
