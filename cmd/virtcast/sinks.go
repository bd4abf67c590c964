package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/virtcast/virtcast/bridge"
	"github.com/virtcast/virtcast/internal/field"
	"github.com/virtcast/virtcast/sinks/jsonl"
	"github.com/virtcast/virtcast/sinks/kafka"
	"github.com/virtcast/virtcast/sinks/nats"
)

// builtSink is a sink that was made here and is closed here.
type builtSink interface {
	bridge.Sink
	Close(ctx context.Context) error
}

// connectable is a sink that tells, when it is connected, how well the other side suits.
type connectable[Fit any] interface {
	builtSink
	Connect(ctx context.Context) (Fit, error)
}

// connector is a connectable sink as the bridge wants it. What the sink finds, it logs itself.
type connector[Fit any] struct{ connectable[Fit] }

var _ bridge.Connector = connector[nats.Fit]{}

// Connect implements bridge.Connector.
func (c connector[Fit]) Connect(ctx context.Context) error {
	_, err := c.connectable.Connect(ctx)
	return err
}

// sinkTools is what sinks are built with.
type sinkTools struct {
	log        *slog.Logger
	registerer prometheus.Registerer
}

// of returns a sink's logger and its registerer, both labelled with its name.
func (t sinkTools) of(name string) (*slog.Logger, prometheus.Registerer) {
	return t.log.With("sink", name), prometheus.WrapRegistererWith(prometheus.Labels{"sink": name}, t.registerer)
}

// sinkKind is one row of the table of sinks: all that the program knows of a kind.
type sinkKind struct {
	key      string
	present  bool
	validate func(field.Path) error
	build    func(name string, t sinkTools) (builtSink, error)
	describe func() string
	// keepsStates is set where a store of states is configured beside the sink; buildStates makes it.
	keepsStates bool
	buildStates func(name string, t sinkTools) (builtSink, error)
}

// kinds is the table.
func (s *SinkConfig) kinds() []sinkKind {
	return []sinkKind{
		{
			key:      "nats",
			present:  s.NATS != nil,
			validate: func(p field.Path) error { return s.NATS.Validate(p) },
			build: func(name string, t sinkTools) (builtSink, error) {
				log, registerer := t.of(name)
				sink, err := nats.New(*s.NATS, nats.Options{Logger: log, Registerer: registerer})
				return connector[nats.Fit]{sink}, err
			},
			describe:    func() string { return describeNATS(s.NATS.WithDefaults()) },
			keepsStates: s.NATS != nil && s.NATS.StateBucket != "",
			buildStates: func(name string, t sinkTools) (builtSink, error) {
				log, registerer := t.of(name)
				sink, err := nats.NewState(*s.NATS, nats.Options{Logger: log, Registerer: registerer})
				return connector[nats.Fit]{sink}, err
			},
		},
		{
			key:      "kafka",
			present:  s.Kafka != nil,
			validate: func(p field.Path) error { return s.Kafka.Validate(p) },
			build: func(name string, t sinkTools) (builtSink, error) {
				log, registerer := t.of(name)
				sink, err := kafka.New(*s.Kafka, kafka.Options{Logger: log, Registerer: registerer})
				return connector[kafka.Fit]{sink}, err
			},
			describe:    func() string { return describeKafka(s.Kafka.WithDefaults()) },
			keepsStates: s.Kafka != nil && s.Kafka.StateTopic != "",
			buildStates: func(name string, t sinkTools) (builtSink, error) {
				log, registerer := t.of(name)
				sink, err := kafka.NewState(*s.Kafka, kafka.Options{Logger: log, Registerer: registerer})
				return connector[kafka.Fit]{sink}, err
			},
		},
		{
			key:      "jsonl",
			present:  s.JSONL != nil,
			validate: func(p field.Path) error { return s.JSONL.Validate(p) },
			build: func(string, sinkTools) (builtSink, error) {
				return jsonl.New(*s.JSONL)
			},
			describe: func() string {
				if s.JSONL.Path == jsonl.Stdout {
					return "CloudEvents as JSON lines on standard output"
				}
				return "CloudEvents as JSON lines appended to " + s.JSONL.Path
			},
		},
	}
}

// kind returns the row of the one kind that is present.
func (s *SinkConfig) kind() (sinkKind, error) {
	var keys, present []string
	var found sinkKind
	for _, k := range s.kinds() {
		keys = append(keys, k.key)
		if k.present {
			present, found = append(present, k.key), k
		}
	}
	switch len(present) {
	case 1:
		return found, nil
	case 0:
		return sinkKind{}, fmt.Errorf("no kind of sink: write one of %s below the name", strings.Join(keys, ", "))
	default:
		return sinkKind{}, fmt.Errorf("%s at once: make a sink of each", strings.Join(present, " and "))
	}
}

func (s *SinkConfig) validate(p field.Path, f *field.Faults) {
	kind, err := s.kind()
	if err != nil {
		f.Add(p, "", "%v", err)
		return
	}
	f.Join(kind.validate(p.Key(kind.key)))
}

// describeNATS says in one line what a NATS sink does.
func describeNATS(c nats.Config) string {
	if c.Mode == nats.ModeCore {
		return fmt.Sprintf("core NATS at %s, at most once, subjects %s, %s CloudEvents", c.Servers(), c.Subject, c.Content)
	}
	stream := "stream " + c.Stream
	if c.Create {
		stream += " (made if missing)"
	}
	text := fmt.Sprintf("NATS JetStream at %s, %s, subjects %s, %s CloudEvents", c.Servers(), stream, c.Subject, c.Content)
	if c.StateBucket != "" {
		text += "; states of domains in bucket " + c.StateBucket
	}
	return text
}

// describeKafka says in one line what a Kafka sink does.
func describeKafka(c kafka.Config) string {
	topic := "topic " + c.Topic
	if c.Create != nil {
		topic += " (made if missing)"
	}
	text := fmt.Sprintf("Kafka at %s, %s, %s CloudEvents, compression %s", c.Servers(), topic, c.Content, c.Compression)
	if c.StateTopic != "" {
		text += "; states of domains in topic " + c.StateTopic
	}
	return text
}
