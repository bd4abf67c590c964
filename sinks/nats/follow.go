package nats

import (
	"context"
	"errors"
	"fmt"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/virtcast/virtcast/schema"
)

// FollowOptions is what a follower wants to see. The zero value follows what is
// published from now on.
type FollowOptions struct {
	// Subject filters what is delivered, as NATS does; empty means every subject
	// that the configured template can make.
	Subject string
	// All begins with the oldest event in the stream, Since with the first that was
	// stored at or after that time. Both need JetStream.
	All   bool
	Since time.Time
	// Interrupted, if not nil, is told when the connection is lost (an error) and when it
	// is back (nil). In JetStream mode nothing is missed in between.
	Interrupted func(error)
}

// Message is one event as it was published.
type Message struct {
	Subject string
	// Event is the decoded event, unless Err says why this is none: another
	// publisher's message, say, or a later format.
	Event schema.Event
	Err   error
}

// followRoom is how many messages of core NATS may wait for handle. NATS drops the
// connection of a subscriber that is slower for longer.
const followRoom = 65536

// Follow calls handle with every event that is published, in order, until ctx ends
// (then it returns nil), handle returns an error (then it returns that), or the
// stream cannot be read. It reads what a sink with the same configuration writes, in both content modes.
// The first connection must succeed; after that it reconnects for as long as it takes.
func Follow(ctx context.Context, cfg Config, opts FollowOptions, handle func(Message) error) error {
	if err := cfg.Validate(""); err != nil {
		return fmt.Errorf("nats: %w", err)
	}
	cfg = cfg.WithDefaults()
	template, err := parseSubject(cfg.Subject)
	if err != nil {
		return fmt.Errorf("nats: subject: %w", err)
	}
	if opts.Subject == "" {
		opts.Subject = template.filter()
	}
	s := &Sink{cfg: cfg, subject: template} // for its explanations
	nc, err := followConnect(cfg, opts)
	if err != nil {
		return s.connectError(err)
	}
	defer nc.Close()
	if cfg.Mode == ModeCore {
		return followCore(ctx, nc, opts, handle)
	}
	if err := followStream(ctx, nc, cfg, opts, handle); err != nil {
		return s.streamError(err)
	}
	return nil
}

func followConnect(cfg Config, opts FollowOptions) (*natsgo.Conn, error) {
	interrupted := opts.Interrupted
	if interrupted == nil {
		interrupted = func(error) {}
	}
	options := []natsgo.Option{
		natsgo.Name("virtcast tail"),
		natsgo.Timeout(cfg.ConnectTimeout),
		natsgo.MaxReconnects(-1),
		natsgo.DisconnectErrHandler(func(nc *natsgo.Conn, err error) {
			if nc.IsClosed() {
				return
			}
			if err == nil {
				err = errLost
			}
			interrupted(err)
		}),
		natsgo.ReconnectHandler(func(*natsgo.Conn) { interrupted(nil) }),
	}
	auth, err := authOptions(cfg)
	if err != nil {
		return nil, err
	}
	return natsgo.Connect(cfg.URL, append(options, auth...)...)
}

func followCore(ctx context.Context, nc *natsgo.Conn, opts FollowOptions, handle func(Message) error) error {
	messages := make(chan *natsgo.Msg, followRoom)
	if _, err := nc.ChanSubscribe(opts.Subject, messages); err != nil {
		return fmt.Errorf("nats: subscribe to %s: %w", opts.Subject, err)
	}
	for {
		select {
		case m := <-messages:
			if err := handle(newMessage(m.Subject, m.Header, m.Data)); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

func followStream(ctx context.Context, nc *natsgo.Conn, cfg Config, opts FollowOptions, handle func(Message) error) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	consumer, err := js.OrderedConsumer(ctx, cfg.Stream, opts.consumer())
	if err != nil {
		return err
	}
	messages, err := consumer.Messages()
	if err != nil {
		return err
	}
	defer messages.Stop()
	defer context.AfterFunc(ctx, messages.Stop)()
	for {
		m, err := messages.Next()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, jetstream.ErrNoHeartbeat):
			continue // the consumer is made anew after a reconnect
		case err != nil:
			return err
		}
		if err := handle(newMessage(m.Subject(), m.Headers(), m.Data())); err != nil {
			return err
		}
	}
}

func (o FollowOptions) consumer() jetstream.OrderedConsumerConfig {
	c := jetstream.OrderedConsumerConfig{FilterSubjects: []string{o.Subject}, DeliverPolicy: jetstream.DeliverNewPolicy}
	switch {
	case o.All:
		c.DeliverPolicy = jetstream.DeliverAllPolicy
	case !o.Since.IsZero():
		c.DeliverPolicy, c.OptStartTime = jetstream.DeliverByStartTimePolicy, &o.Since
	}
	return c
}

// newMessage decodes either content mode.
func newMessage(subject string, header natsgo.Header, data []byte) Message {
	m := Message{Subject: subject}
	if schema.IsStructured(header.Get(contentTypeHeader)) || header.Get(attributePrefix+"specversion") == "" {
		m.Event, m.Err = schema.Decode(data)
	} else {
		m.Event, m.Err = schema.DecodeBinary(func(name string) string { return header.Get(attributePrefix + name) }, data)
	}
	return m
}
