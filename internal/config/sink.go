package config

import (
	"fmt"
	"strings"

	"github.com/virtcast/virtcast/internal/field"
	"github.com/virtcast/virtcast/sinks/jsonl"
	"github.com/virtcast/virtcast/sinks/kafka"
	"github.com/virtcast/virtcast/sinks/nats"
)

// The kinds of sinks: the keys below a sink's name.
const (
	KindNATS  = "nats"
	KindKafka = "kafka"
	KindJSONL = "jsonl"
)

// sinkKind is one row of the table of sinks: what a configuration may say of a kind.
type sinkKind struct {
	key      string
	present  bool
	validate func(field.Path) error
	describe func() string
}

// kinds is the table. How each kind is made is in package service's table.
func (s *Sink) kinds() []sinkKind {
	return []sinkKind{
		{
			key:      KindNATS,
			present:  s.NATS != nil,
			validate: func(p field.Path) error { return field.Under(p, s.NATS.Validate()) },
			describe: func() string { return describeNATS(s.NATS.WithDefaults()) },
		},
		{
			key:      KindKafka,
			present:  s.Kafka != nil,
			validate: func(p field.Path) error { return field.Under(p, s.Kafka.Validate()) },
			describe: func() string { return describeKafka(s.Kafka.WithDefaults()) },
		},
		{
			key:      KindJSONL,
			present:  s.JSONL != nil,
			validate: func(p field.Path) error { return s.JSONL.Validate(p) },
			describe: func() string { return describeJSONL(*s.JSONL) },
		},
	}
}

// kind returns the row of the one kind that is present.
func (s *Sink) kind() (sinkKind, error) {
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

// Kind returns which kind of sink s is. A sink that passed Validate has one.
func (s *Sink) Kind() (string, error) {
	k, err := s.kind()
	return k.key, err
}

func (s *Sink) validate(p field.Path, f *field.Faults) {
	kind, err := s.kind()
	if err != nil {
		f.Add(p, "", "%v", err)
		return
	}
	f.Join(kind.validate(p.Key(kind.key)))
}

// Describe returns one line about what the sink does.
func (s *Sink) Describe() (string, error) {
	kind, err := s.kind()
	if err != nil {
		return "", err
	}
	return kind.describe(), nil
}

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

func describeJSONL(c jsonl.Config) string {
	if c.Path == jsonl.Stdout {
		return "CloudEvents as JSON lines on standard output"
	}
	return "CloudEvents as JSON lines appended to " + c.Path
}
