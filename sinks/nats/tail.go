package nats

import (
	"context"
	"errors"
	"fmt"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/virtcast/virtcast/internal/tlsfiles"
	"github.com/virtcast/virtcast/schema"
)

// TailOptions is which events a reader wants. The zero value means those that are
// published from now on.
type TailOptions struct {
	// Subject filters what is delivered, as NATS does; empty means every subject that the
	// configured template can make.
	Subject string
	// All begins with the oldest event in the stream, Since with the first that was
	// stored at or after that time. Both need JetStream.
	All   bool
	Since time.Time
	// Interrupted, if not nil, is called with an error when the connection is lost, and
	// with nil when there is one again. In JetStream mode no event is missed in between.
	Interrupted func(error)
}

// Message is one event as it was published.
type Message struct {
	Subject string
	// Event is the decoded event. Err is set instead where the message is none: another
	// publisher's, say, or one of a later format.
	Event schema.Event
	Err   error
}

// tailRoom is how many messages of core NATS may wait for handle. NATS drops the
// connection of a subscriber that stays slower than the publishers.
const tailRoom = 65536

// Tail calls handle with every event that is published, in order. It reads what a sink
// with the same configuration writes, in both content modes. It returns nil when ctx
// ends, the error of handle when that fails, or why the stream cannot be read. The first
// connection must succeed; later ones are made again for as long as it takes.
func Tail(ctx context.Context, cfg Config, opts TailOptions, handle func(Message) error) error {
	if err := cfg.Validate(); err != nil {
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
	files := cfg.TLS.files()
	s := &Sink{cfg: cfg, subject: template, files: files} // for its explanations
	nc, err := tailConnect(cfg, files, opts)
	if err != nil {
		return s.connectError(err)
	}
	defer nc.Close()
	if cfg.Mode == ModeCore {
		return tailCore(ctx, nc, opts, handle)
	}
	if err := tailStream(ctx, nc, cfg, opts, handle); err != nil {
		return s.streamError(err)
	}
	return nil
}

func tailConnect(cfg Config, files *tlsfiles.Files, opts TailOptions) (*natsgo.Conn, error) {
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
	auth, err := authOptions(cfg, files, false, "")
	if err != nil {
		return nil, err
	}
	return natsgo.Connect(cfg.URL, append(options, auth...)...)
}

func tailCore(ctx context.Context, nc *natsgo.Conn, opts TailOptions, handle func(Message) error) error {
	messages := make(chan *natsgo.Msg, tailRoom)
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

func tailStream(ctx context.Context, nc *natsgo.Conn, cfg Config, opts TailOptions, handle func(Message) error) error {
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
			continue // The library makes another consumer after it has connected again.
		case err != nil:
			return err
		}
		if err := handle(newMessage(m.Subject(), m.Headers(), m.Data())); err != nil {
			return err
		}
	}
}

func (o TailOptions) consumer() jetstream.OrderedConsumerConfig {
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
