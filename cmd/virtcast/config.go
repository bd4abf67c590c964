package main

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/virtcast/virtcast/bridge/journal"
	"github.com/virtcast/virtcast/drivers/libvirt/transport"
	"github.com/virtcast/virtcast/internal/field"
	"github.com/virtcast/virtcast/internal/strictyaml"
	"github.com/virtcast/virtcast/schema"
	"github.com/virtcast/virtcast/sinks/jsonl"
	"github.com/virtcast/virtcast/sinks/kafka"
	"github.com/virtcast/virtcast/sinks/nats"
)

// Config is what users write. Packages own the parts that are theirs.
type Config struct {
	// DataDir holds the journal. Required.
	DataDir       string               `yaml:"data_dir"`
	Connections   []ConnectionConfig   `yaml:"connections"`
	Registrations []RegistrationConfig `yaml:"registrations"`
	Sinks         []SinkConfig         `yaml:"sinks"`
	Journal       JournalConfig        `yaml:"journal"`
	Log           LogConfig            `yaml:"log"`
	Metrics       MetricsConfig        `yaml:"metrics"`
}

// ConnectionConfig is one hypervisor.
type ConnectionConfig struct {
	// Name is [a-z0-9-], 1 to 63 characters; it stands in subjects and attributes.
	Name string `yaml:"name"`
	// URI is a libvirt connection URI.
	URI string `yaml:"uri"`
	// Keepalive is how a dead peer is noticed.
	Keepalive KeepaliveConfig `yaml:"keepalive"`
}

// KeepaliveConfig bounds how long a dead peer goes unnoticed: interval × count.
type KeepaliveConfig struct {
	Interval time.Duration `yaml:"interval"` // default 5s
	Count    int           `yaml:"count"`    // default 5
}

// RegistrationConfig is one registration. Absent fields mean: every connection,
// every domain, lifecycle, every sink.
type RegistrationConfig struct {
	Connections []string `yaml:"connections"` // name patterns as in path.Match
	Domain      string   `yaml:"domain"`      // a UUID
	Events      []string `yaml:"events"`
	Sinks       []string `yaml:"sinks"`
}

// SinkConfig is one sink: a name and one of the kinds.
type SinkConfig struct {
	Name  string        `yaml:"name"`
	NATS  *nats.Config  `yaml:"nats"`
	Kafka *kafka.Config `yaml:"kafka"`
	JSONL *jsonl.Config `yaml:"jsonl"`
}

// JournalConfig bounds the journal.
type JournalConfig struct {
	// MaxBytes bounds the journal's log on disk; default 1GiB.
	MaxBytes ByteSize `yaml:"max_bytes"`
}

// LogConfig is how the program logs, to standard error.
type LogConfig struct {
	Level  string `yaml:"level"`  // debug, info (default), warn, error
	Format string `yaml:"format"` // text (default), json
}

// MetricsConfig is where Prometheus finds the metrics.
type MetricsConfig struct {
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

func (c *Config) journalBytes() int64 {
	if c.Journal.MaxBytes == 0 {
		return journal.DefaultMaxBytes
	}
	return int64(c.Journal.MaxBytes)
}

// minJournal is the least that a journal can work with.
const minJournal = 16 << 20

// loadConfig reads and validates a file. The error's text is one line a fault.
func loadConfig(name string) (*Config, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, usageError{fmt.Errorf("read the configuration: %w", err)}
	}
	c, err := parseConfig(name, data, os.LookupEnv)
	if err != nil {
		return nil, usageError{err}
	}
	return c, nil
}

func parseConfig(name string, data []byte, lookup func(string) (string, bool)) (*Config, error) {
	doc, err := strictyaml.Parse(name, data)
	if err != nil {
		return nil, err
	}
	if err := doc.Expand(lookup); err != nil {
		return nil, err
	}
	var c Config
	if err := doc.Decode(&c); err != nil {
		return nil, err
	}
	if err := c.Validate(); err != nil {
		return nil, doc.Locate(err)
	}
	return &c, nil
}

// Validate reports every fault at once, each a *field.Error.
func (c *Config) Validate() error {
	var f field.Faults
	if c.DataDir == "" {
		f.Add("data_dir", "name a directory for the journal, such as /var/lib/virtcast", "missing")
	}
	c.validateConnections(&f)
	c.validateSinks(&f)
	c.validateRegistrations(&f)
	if n := c.Journal.MaxBytes; n != 0 && n < minJournal {
		f.Add("journal.max_bytes", "give it 16MiB or more", "%d bytes are too few to work with", n)
	}
	if _, err := c.Log.level(); err != nil {
		f.Add("log.level", "write debug, info, warn or error", "unknown level %q", c.Log.Level)
	}
	if !slices.Contains([]string{"", "text", "json"}, c.Log.Format) {
		f.Add("log.format", "write text or json", "unknown format %q", c.Log.Format)
	}
	if c.Metrics.Listen != "" {
		if _, _, err := net.SplitHostPort(c.Metrics.Listen); err != nil {
			f.Add("metrics.listen", "write host:port, such as 127.0.0.1:9177", "%v", err)
		}
	}
	return f.Err()
}

var goodName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

const nameCure = "write 1 to 63 of a-z, 0-9 and -, neither first nor last a -"

// names reports names that are missing, malformed or there twice.
type names map[string]field.Path

func (seen names) check(f *field.Faults, p field.Path, name string) {
	switch first, twice := seen[name]; {
	case name == "":
		f.Add(p, nameCure, "missing")
	case !goodName.MatchString(name):
		f.Add(p, nameCure, "%q is no name", name)
	case twice:
		f.Add(p, "give each a name of its own", "%q is already the name of %s", name, first)
	default:
		seen[name] = p
	}
}

func (c *Config) validateConnections(f *field.Faults) {
	const list = field.Path("connections")
	if len(c.Connections) == 0 {
		f.Add(list, "add one: {name: local, uri: qemu:///system}", "nothing to watch")
	}
	seen := names{}
	for i, conn := range c.Connections {
		p := list.Index(i)
		seen.check(f, p.Key("name"), conn.Name)
		if conn.URI == "" {
			f.Add(p.Key("uri"), "write a libvirt URI, such as qemu:///system or qemu+tls://kvm01.example.com/system", "missing")
		} else if _, err := transport.ParseURI(conn.URI); err != nil {
			f.Add(p.Key("uri"), "", "%v", err)
		}
		if k := conn.Keepalive; k.Interval != 0 && (k.Interval < time.Second || k.Interval > time.Hour) {
			f.Add(p.Key("keepalive.interval"), "write 1s to 1h; 5s is the default", "%v is out of range", k.Interval)
		}
		if k := conn.Keepalive; k.Count < 0 || k.Count > 100 {
			f.Add(p.Key("keepalive.count"), "write 1 to 100; 5 is the default", "%d is out of range", k.Count)
		}
	}
}

func (c *Config) validateSinks(f *field.Faults) {
	const list = field.Path("sinks")
	if len(c.Sinks) == 0 {
		f.Add(list, `add one: {name: screen, jsonl: {path: "-"}}`, "nowhere to publish")
	}
	seen := names{}
	for i := range c.Sinks {
		p := list.Index(i)
		seen.check(f, p.Key("name"), c.Sinks[i].Name)
		c.Sinks[i].validate(p, f)
	}
}

func (c *Config) validateRegistrations(f *field.Faults) {
	for i, r := range c.Registrations {
		p := field.Path("registrations").Index(i)
		for j, pattern := range r.Connections {
			if err := c.matchesAny(pattern); err != nil {
				f.Add(p.Key("connections").Index(j), "write a connection's name, or a pattern such as kvm*", "%v", err)
			}
		}
		if r.Domain != "" {
			if _, err := schema.ParseUUID(r.Domain); err != nil {
				f.Add(p.Key("domain"), "write a domain's UUID (virsh domuuid NAME), or leave it out for every domain", "%v", err)
			}
		}
		for j, name := range r.Events {
			if kind, ok := schema.ParseKind(name); !ok || kind.Family() != schema.FamilyDomain {
				f.Add(p.Key("events").Index(j), "this version knows: lifecycle", "unknown kind of event %q", name)
			}
		}
		for j, name := range r.Sinks {
			if !slices.ContainsFunc(c.Sinks, func(s SinkConfig) bool { return s.Name == name }) {
				f.Add(p.Key("sinks").Index(j), "name one of: "+c.sinkNames(), "there is no sink %q", name)
			}
		}
	}
}

func (c *Config) matchesAny(pattern string) error {
	for _, conn := range c.Connections {
		ok, err := path.Match(pattern, conn.Name)
		if err != nil {
			return fmt.Errorf("%q is no pattern: %w", pattern, err)
		}
		if ok {
			return nil
		}
	}
	return fmt.Errorf("no connection matches %q", pattern)
}

func (c *Config) sinkNames() string {
	all := make([]string, len(c.Sinks))
	for i, s := range c.Sinks {
		all[i] = s.Name
	}
	return strings.Join(all, ", ")
}

var errUnknownLevel = errors.New("unknown log level")

func (c LogConfig) level() (slog.Level, error) {
	switch c.Level {
	case "debug":
		return slog.LevelDebug, nil
	case "", "info":
		return slog.LevelInfo, nil
	case "warn":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	default:
		return 0, errUnknownLevel
	}
}
