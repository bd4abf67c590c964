package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/apiversions"
	"github.com/segmentio/kafka-go/protocol/createtopics"
	"github.com/segmentio/kafka-go/protocol/describeconfigs"
	"github.com/segmentio/kafka-go/protocol/initproducerid"
	"github.com/segmentio/kafka-go/protocol/listoffsets"
	"github.com/segmentio/kafka-go/protocol/metadata"
	"github.com/segmentio/kafka-go/protocol/produce"
	"github.com/segmentio/kafka-go/protocol/saslauthenticate"
	"github.com/segmentio/kafka-go/protocol/saslhandshake"

	"github.com/virtcast/virtcast/internal/tlsfiles"
)

// ID is the name of this client in the logs and quotas of a broker.
const ID = "virtcast"

// conn is one connection to one broker. It carries one request at a time. After an error
// it cannot be used any more.
type conn struct {
	net    net.Conn
	frames *frames
	// requests is how many were sent. The number of a request is its correlation id.
	requests int32
	// versions has the version in which each request is sent. Before hello it is nil, and
	// the version is 0.
	versions map[protocol.ApiKey]int16
}

// answers has a message of the type that each request is answered with.
var answers = map[protocol.ApiKey]protocol.Message{
	protocol.ApiVersions:      (*apiversions.Response)(nil),
	protocol.SaslHandshake:    (*saslhandshake.Response)(nil),
	protocol.SaslAuthenticate: (*saslauthenticate.Response)(nil),
	protocol.Metadata:         (*metadata.Response)(nil),
	protocol.ListOffsets:      (*listoffsets.Response)(nil),
	protocol.DescribeConfigs:  (*describeconfigs.Response)(nil),
	protocol.CreateTopics:     (*createtopics.Response)(nil),
	protocol.InitProducerId:   (*initproducerid.Response)(nil),
	protocol.Produce:          (*produce.Response)(nil),
}

// newestVersion is the newest version without tagged fields, where kafka-go knows newer
// ones. Newer versions have nothing that is needed here, and their lengths are harder to
// check.
var newestVersion = map[protocol.ApiKey]int16{protocol.InitProducerId: 1, protocol.CreateTopics: 4}

// oldestVersion is the oldest version that suits, of the requests without which nothing
// works.
var oldestVersion = map[protocol.ApiKey]int16{
	protocol.Produce:        3, // takes record batches of format v2
	protocol.Metadata:       4, // does not make the topic
	protocol.InitProducerId: 0,
}

// bareLogin is the version of the handshake, from before Apache Kafka 1.0, that is
// followed by bytes without a frame.
const bareLogin = 0

// dial connects and logs in. It blocks until then, for at most cfg.ConnectTimeout, or
// until ctx ends. The files of TLS are read now. Without TLS, files is nil.
func dial(ctx context.Context, cfg *Config, files *tlsfiles.Files, address string) (*conn, error) {
	silent := fmt.Errorf("%w within %s", errSilent, cfg.ConnectTimeout)
	ctx, cancel := context.WithTimeoutCause(ctx, cfg.ConnectTimeout, silent)
	defer cancel()
	tcp, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("%w: %w", silent, err)
		}
		return nil, &dialError{err}
	}
	c := &conn{net: tcp, frames: newFrames(tcp)}
	if files != nil {
		secure, err := files.Handshake(ctx, tcp, address)
		if err != nil {
			c.close()
			return nil, fmt.Errorf("%w: %w", errTLS, err)
		}
		c.net, c.frames = secure, newFrames(secure)
	}
	if err := c.hello(ctx, cfg.ConnectTimeout); err != nil {
		c.close()
		return nil, fmt.Errorf("%w: %w", errHello, err)
	}
	if cfg.SASL.Mechanism != "" {
		if err := c.login(ctx, cfg.SASL, cfg.ConnectTimeout); err != nil {
			c.close()
			return nil, fmt.Errorf("%w: %w", errLogin, err)
		}
	}
	return c, nil
}

// hello asks which versions of each request the broker knows.
func (c *conn) hello(ctx context.Context, timeout time.Duration) error {
	m, err := c.roundTrip(ctx, timeout, new(apiversions.Request))
	if err != nil {
		return err
	}
	answer, ok := m.(*apiversions.Response)
	if !ok {
		return fmt.Errorf("unexpected answer %T", m)
	}
	if answer.ErrorCode != 0 {
		return &CodeError{Code: Code(answer.ErrorCode)}
	}
	c.versions = make(map[protocol.ApiKey]int16, len(answers))
	for _, k := range answer.ApiKeys {
		key := protocol.ApiKey(k.ApiKey)
		if answers[key] == nil {
			continue
		}
		version := min(k.MaxVersion, key.MaxVersion())
		if newest, ok := newestVersion[key]; ok {
			version = min(version, newest)
		}
		if version >= max(k.MinVersion, key.MinVersion()) {
			c.versions[key] = version
		}
	}
	for key, oldest := range oldestVersion {
		if version, ok := c.versions[key]; !ok || version < oldest {
			return &CodeError{Code: codeUnsupportedVersion, What: key.String()}
		}
	}
	return nil
}

// login logs in by SASL.
func (c *conn) login(ctx context.Context, cfg SASL, timeout time.Duration) error {
	mechanism, err := cfg.exchange()
	if err != nil {
		return err
	}
	if c.versions[protocol.SaslHandshake] == bareLogin {
		return &CodeError{Code: codeUnsupportedVersion, What: "SASL"}
	}
	m, err := c.roundTrip(ctx, timeout, &saslhandshake.Request{Mechanism: mechanism.Name()})
	if err != nil {
		return err
	}
	if answer, ok := m.(*saslhandshake.Response); ok && answer.ErrorCode != 0 {
		e := &CodeError{Code: Code(answer.ErrorCode), What: string(cfg.Mechanism)}
		if len(answer.Mechanisms) > 0 {
			e.Message = "it offers " + strings.Join(answer.Mechanisms, ", ")
		}
		return e
	}
	exchange, state, err := mechanism.Start(ctx)
	if err != nil {
		return err
	}
	for done := false; !done; {
		m, err := c.roundTrip(ctx, timeout, &saslauthenticate.Request{AuthBytes: state})
		if err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				// Some brokers refuse a login by closing the connection.
				return &CodeError{Code: codeAuthenticationFailed}
			}
			return err
		}
		answer, ok := m.(*saslauthenticate.Response)
		if !ok {
			return fmt.Errorf("unexpected answer %T", m)
		}
		if answer.ErrorCode != 0 {
			return &CodeError{Code: Code(answer.ErrorCode), Message: answer.ErrorMessage}
		}
		if done, state, err = exchange.Next(ctx, answer.AuthBytes); err != nil {
			return err
		}
	}
	return nil
}

// roundTrip sends a request and returns the answer. It blocks until then, for at most
// timeout, or until ctx ends, which closes the connection. After an error the broker may
// have carried out the request.
func (c *conn) roundTrip(
	ctx context.Context, timeout time.Duration, m protocol.Message,
) (protocol.Message, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	defer context.AfterFunc(ctx, c.close)()
	if err := c.net.SetDeadline(time.Now().Add(timeout)); err != nil {
		return nil, fmt.Errorf("%w: %w", errLost, err)
	}
	answer, err := c.exchange(m)
	var refused *CodeError
	switch {
	case err == nil, errors.As(err, &refused):
		return answer, err
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, fmt.Errorf("%w: %w within %s", errLost, errSilent, timeout)
	}
	return nil, fmt.Errorf("%w: %w", errLost, err)
}

// exchange writes a request and reads its answer.
func (c *conn) exchange(m protocol.Message) (protocol.Message, error) {
	key := m.ApiKey()
	version, ok := c.versions[key]
	if !ok && c.versions != nil || answers[key] == nil {
		return nil, &CodeError{Code: codeUnsupportedVersion, What: key.String()}
	}
	c.requests++
	if err := protocol.WriteRequest(c.net, version, c.requests, ID, m); err != nil {
		return nil, err
	}
	return c.frames.read(key, version, c.requests, answers[key])
}

// close ends the connection, and a request that is under way fails. It may be called at
// any time, from any goroutine, and again.
func (c *conn) close() {
	_ = c.net.Close() // It may be closed already, and nobody waits for unsent bytes.
}
