package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/virtcast/virtcast/internal/config"
	"github.com/virtcast/virtcast/internal/service"
	"github.com/virtcast/virtcast/schema"
	"github.com/virtcast/virtcast/sinks/kafka"
	"github.com/virtcast/virtcast/sinks/nats"
)

// tailView is from where on a source is read.
type tailView struct {
	all   bool
	since time.Time
	// interrupted is called with the error when the source cannot be read, and with nil
	// when it can be read again.
	interrupted func(error)
}

// tailSource reads what a sink has published, until ctx ends or handle returns an error.
// It calls handle with each event; for a message that is no event, with its place and the
// reason.
type tailSource func(ctx context.Context, view tailView, handle func(place string, e *schema.Event, err error) error) error

// source returns where to read.
func (f tailFlags) source() (tailSource, error) {
	sink := config.Sink{}
	switch {
	case f.config != "":
		found, err := f.configured()
		if err != nil {
			return nil, err
		}
		sink = found
	case len(f.kafka) > 0:
		sink.Kafka = &kafka.Config{Brokers: f.kafka}
	case f.nats != "":
		sink.NATS = &nats.Config{URL: f.nats}
	default:
		sink.NATS = &nats.Config{URL: service.EmbeddedNATSURL()}
	}
	if sink.Kafka != nil {
		return f.kafkaSource(*sink.Kafka)
	}
	return f.natsSource(*sink.NATS)
}

// configured returns the sink of the configuration that can be read: the named one, or
// the only one.
func (f tailFlags) configured() (config.Sink, error) {
	c, err := config.Load(f.config)
	if err != nil {
		return config.Sink{}, err
	}
	var found []config.Sink
	for _, s := range c.Sinks {
		if (s.NATS != nil || s.Kafka != nil) && (f.sink == "" || s.Name == f.sink) {
			found = append(found, s)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return config.Sink{}, usageError{fmt.Errorf("%s has %d sinks of NATS and Kafka: choose one with --sink: %s", f.config, len(found), c.SinkNames())}
	case f.sink != "":
		return config.Sink{}, usageError{fmt.Errorf("%s has no NATS or Kafka sink named %q", f.config, f.sink)}
	default:
		return config.Sink{}, usageError{fmt.Errorf("%s has no NATS or Kafka sink", f.config)}
	}
}

func (f tailFlags) natsSource(c nats.Config) (tailSource, error) {
	if f.topic != "" {
		return nil, usageError{errors.New("--topic is for Kafka; NATS has --subject and --stream")}
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
	if err := c.Validate(); err != nil {
		return nil, usageError{err}
	}
	return func(ctx context.Context, view tailView, handle func(string, *schema.Event, error) error) error {
		opts := nats.TailOptions{Subject: f.subject, All: view.all, Since: view.since, Interrupted: view.interrupted}
		return nats.Tail(ctx, c, opts, func(m nats.Message) error { return handle("on "+m.Subject, &m.Event, m.Err) })
	}, nil
}

func (f tailFlags) kafkaSource(c kafka.Config) (tailSource, error) {
	if f.subject != "" || f.stream != "" || f.creds != "" || f.core {
		return nil, usageError{errors.New("--subject, --stream, --creds and --core are for NATS; Kafka has --topic, and logins in a configuration (-c)")}
	}
	if f.topic != "" {
		c.Topic = f.topic
	}
	if err := c.Validate(); err != nil {
		return nil, usageError{err}
	}
	return func(ctx context.Context, view tailView, handle func(string, *schema.Event, error) error) error {
		opts := kafka.TailOptions{All: view.all, Since: view.since, Interrupted: view.interrupted}
		return kafka.Tail(ctx, c, opts, func(m kafka.Message) error {
			return handle(fmt.Sprintf("at offset %d in partition %d of %s", m.Offset, m.Partition, m.Topic), &m.Event, m.Err)
		})
	}, nil
}
