package kafka

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go/compress"

	"github.com/virtcast/virtcast/internal/field"
	"github.com/virtcast/virtcast/internal/tlsfiles"
	"github.com/virtcast/virtcast/sinks/kafka/client"
	"github.com/virtcast/virtcast/sinks/kafka/producer"
)

// Content is the CloudEvents content mode.
type Content string

// The content modes.
const (
	// ContentBinary puts the attributes into ce_ headers and the data into the value. The
	// default.
	ContentBinary Content = "binary"
	// ContentStructured puts the whole event into the value, as JSON.
	ContentStructured Content = "structured"
)

// Compression is how batches are compressed.
type Compression string

// The compressions.
const (
	CompressionNone   Compression = "none" // The default.
	CompressionGzip   Compression = "gzip"
	CompressionSnappy Compression = "snappy"
	CompressionLZ4    Compression = "lz4"
	CompressionZstd   Compression = "zstd"
)

// compressions are the numbers in the attributes of a batch.
var compressions = map[Compression]compress.Compression{
	CompressionNone: compress.None, CompressionGzip: compress.Gzip, CompressionSnappy: compress.Snappy,
	CompressionLZ4: compress.Lz4, CompressionZstd: compress.Zstd,
}

// The login, TLS and missing topics belong to package client.
type (
	// CreateConfig describes the topic that is created where it is missing.
	CreateConfig = client.Create
	// SASLConfig is the login part of a [Config].
	SASLConfig = client.SASL
	// TLSConfig is the TLS part of a [Config].
	TLSConfig = client.TLS
	// Mechanism is how to log in by SASL.
	Mechanism = client.Mechanism
)

// The mechanisms.
const (
	MechanismPlain       = client.MechanismPlain
	MechanismScramSHA256 = client.MechanismScramSHA256
	MechanismScramSHA512 = client.MechanismScramSHA512
)

// The bounds of BatchBytes: by default, a broker takes 1 MiB.
const (
	defaultBatchBytes  = 512 << 10
	minBatchBytes      = 1 << 10
	maxBatchBytes      = 64 << 20
	defaultBatchEvents = 10_000
)

// maxLinger is the longest Linger.
const maxLinger = time.Second

// Config is what a user writes about a Kafka sink. A zero field means its default;
// [Config.WithDefaults] fills them in. All in-sync replicas acknowledge, always.
type Config struct {
	// Brokers are the addresses, host:port, by which the cluster is found. Required.
	Brokers []string `yaml:"brokers"`
	// Topic is the topic template; default [DefaultTopic]. {connection} and {kind} may be
	// in it.
	Topic string `yaml:"topic"`
	// Content is binary (default) or structured.
	Content Content `yaml:"content"`
	// Compression is none (default), gzip, snappy, lz4 or zstd.
	Compression Compression `yaml:"compression"`
	// Create creates a topic that is missing; nil means that it must exist. An existing
	// topic is never changed.
	Create *CreateConfig `yaml:"create"`

	// StateTopic is the topic of the domains' last known states, beside the events; empty
	// means none. It must be compacted. Create applies to it too.
	StateTopic string `yaml:"state_topic"`

	// SASL is how to log in; no mechanism means not at all.
	SASL SASLConfig `yaml:"sasl"`
	// TLS is how the brokers are verified and how this client proves itself; nil means no
	// TLS.
	TLS *TLSConfig `yaml:"tls"`

	// BatchBytes bounds a batch before compression; default 512 KiB, or what the topic
	// takes if that is less. BatchEvents bounds the events in it; default 10000.
	BatchBytes  int `yaml:"batch_bytes"`
	BatchEvents int `yaml:"batch_events"`
	// Linger is the least time from one small Deliver to the next, so that events which
	// arrive one by one are sent together; default 0. The first after a quiet time does
	// not wait, and neither does a Deliver of 100 events. Without it, the events that
	// arrive during a request make the next one. Measured with 2,000 events a second, one
	// by one, to a broker nearby: 860 requests a second and 1 ms for each event; with 5
	// ms, 155 requests a second, half of the broker's work, and 4 ms.
	Linger time.Duration `yaml:"linger"`

	// ConnectTimeout bounds dialling and logging in, per broker; default 5 s.
	ConnectTimeout time.Duration `yaml:"connect_timeout"`
	// AckTimeout bounds the wait for the answer to a request, and the time without any
	// acknowledgement after which Deliver returns; default 5 s.
	AckTimeout time.Duration `yaml:"ack_timeout"`
}

// WithDefaults returns c with every zero field that has a default set to it.
func (c Config) WithDefaults() Config {
	fill(&c.Topic, DefaultTopic)
	fill(&c.Content, ContentBinary)
	fill(&c.Compression, CompressionNone)
	fill(&c.BatchBytes, defaultBatchBytes)
	fill(&c.BatchEvents, defaultBatchEvents)
	fill(&c.ConnectTimeout, 5*time.Second)
	fill(&c.AckTimeout, 5*time.Second)
	if c.Create != nil {
		create := *c.Create
		fill(&create.Partitions, 12)
		c.Create = &create
	}
	return c
}

func fill[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// Servers returns the brokers' addresses, for people to read.
func (c Config) Servers() string { return strings.Join(c.Brokers, ",") }

// client returns how to reach the cluster.
func (c Config) client(p purpose) client.Config {
	return client.Config{
		Brokers: c.Brokers, TLS: c.TLS, SASL: c.SASL, Create: c.Create,
		ConnectTimeout: c.ConnectTimeout, AckTimeout: c.AckTimeout,
		Cleanup: p.cleanup, Misfit: p.misfit,
	}
}

// producer returns how records are put together.
func (c Config) producer() producer.Config {
	return producer.Config{
		BatchBytes: c.BatchBytes, BatchRecords: c.BatchEvents, Compression: compressions[c.Compression],
		Patience: c.AckTimeout,
	}
}

// Validate returns every fault of c, joined. Each has the path of its field from here on,
// such as "sasl.username". It reads no file and connects to nothing.
func (c Config) Validate() error {
	const path = field.Path("")
	var f field.Faults
	c.validateBrokers(&f, path.Key("brokers"))
	c.validatePublishing(&f, path)
	c.validateAuth(&f, path)
	if c.Create != nil {
		validateCreate(c.Create, &f, path.Key("create"))
	}
	for _, d := range []struct {
		key   string
		value time.Duration
	}{{"connect_timeout", c.ConnectTimeout}, {"ack_timeout", c.AckTimeout}} {
		if d.value != 0 && d.value < 10*time.Millisecond {
			f.Add(path.Key(d.key), "write a duration such as 5s", "%s is too short", d.value)
		}
	}
	if c.Linger < 0 || c.Linger > maxLinger {
		f.Add(path.Key("linger"), "write a duration up to 1s, such as 5ms", "%s is out of range", c.Linger)
	}
	return f.Err()
}

func (c Config) validateBrokers(f *field.Faults, path field.Path) {
	if len(c.Brokers) == 0 {
		f.Add(path, "list the brokers, such as [127.0.0.1:9092]", "missing")
	}
	for i, address := range c.Brokers {
		const cure = "write host:port, such as 127.0.0.1:9092"
		host, port, err := net.SplitHostPort(address)
		if err != nil || host == "" || strings.ContainsAny(host, "/ @,") {
			f.Add(path.Index(i), cure, "%q is not host:port", address)
			continue
		}
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			f.Add(path.Index(i), cure, "%q is not a port", port)
		}
	}
}

func (c Config) validatePublishing(f *field.Faults, path field.Path) {
	if c.Topic != "" {
		if _, err := parseTopic(c.Topic); err != nil {
			f.Add(path.Key("topic"), "use letters, digits, ., _ and -, and {connection} or {kind}, such as "+DefaultTopic,
				"%s", err)
		}
	}
	c.validateStates(f, path.Key("state_topic"))
	if !slices.Contains([]Content{"", ContentBinary, ContentStructured}, c.Content) {
		f.Add(path.Key("content"), "write binary or structured", "content mode %q is not known", c.Content)
	}
	if _, ok := compressions[c.Compression]; !ok && c.Compression != "" {
		f.Add(path.Key("compression"), "write none, gzip, snappy, lz4 or zstd", "compression %q is not known", c.Compression)
	}
	if c.BatchBytes != 0 && (c.BatchBytes < minBatchBytes || c.BatchBytes > maxBatchBytes) {
		f.Add(path.Key("batch_bytes"), "write 1024 to 67108864, and no more than the topic's max.message.bytes",
			"%d bytes is out of range", c.BatchBytes)
	}
	if c.BatchEvents < 0 {
		f.Add(path.Key("batch_events"), "write a positive number", "%d is negative", c.BatchEvents)
	}
}

func (c Config) validateStates(f *field.Faults, path field.Path) {
	if c.StateTopic == "" {
		return
	}
	name, err := parseTopic(c.StateTopic)
	if err == nil {
		if _, fixed := name.Fixed(); !fixed {
			err = fmt.Errorf("%q has a placeholder", c.StateTopic)
		}
	}
	if err != nil {
		f.Add(path, "write one topic's name of letters, digits, ., _ and -, such as virt.domains", "%s", err)
		return
	}
	events, err := parseTopic(c.WithDefaults().Topic)
	if err == nil && events.makes(c.StateTopic) {
		f.Add(path, "give the states a topic of their own, such as virt.domains",
			"%s is a topic that events go to: topic is %s", c.StateTopic, c.WithDefaults().Topic)
	}
}

func (c Config) validateAuth(f *field.Faults, path field.Path) {
	sasl := path.Key("sasl")
	known := []Mechanism{MechanismPlain, MechanismScramSHA256, MechanismScramSHA512}
	switch {
	case c.SASL == (SASLConfig{}):
	case c.SASL.Mechanism == "":
		f.Add(sasl, "add mechanism: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512", "a login without a mechanism")
	case !slices.Contains(known, c.SASL.Mechanism):
		f.Add(sasl.Key("mechanism"), "write PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512", "mechanism %q is not known", c.SASL.Mechanism)
	}
	if c.SASL != (SASLConfig{}) && c.SASL.Username == "" {
		f.Add(sasl, "add username", "a login without a username")
	}
	if c.SASL != (SASLConfig{}) && c.SASL.Password == "" {
		f.Add(sasl, `add password, such as "${KAFKA_PASSWORD}"`, "a login without a password")
	}
	if c.TLS == nil {
		return
	}
	tlsfiles.Config(*c.TLS).Validate(f, path.Key("tls"))
}

func validateCreate(c *CreateConfig, f *field.Faults, path field.Path) {
	if c.Partitions < 0 || c.Partitions > 10_000 {
		f.Add(path.Key("partitions"), "write a number from 1 to 10000", "%d partitions are not possible", c.Partitions)
	}
	if c.Replication < 0 || c.Replication > 32 {
		f.Add(path.Key("replication"), "write the number of brokers that shall hold each partition, such as 3",
			"%d replicas are not possible", c.Replication)
	}
}
