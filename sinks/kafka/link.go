package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
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
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
)

var (
	// errHello is in the error when the other side does not answer as a broker does.
	errHello = errors.New("no answer of a Kafka broker")
	// errLogin is in the error when the broker did not accept the login.
	errLogin = errors.New("log in")
	// errFile is in the error when a file of the configuration cannot be used.
	errFile = errors.New("file")
	// errLost is in the error when a connection ends or times out while a request is under way.
	errLost = errors.New("connection lost")
	// errTLS is in the error when no TLS session came about.
	errTLS = errors.New("tls handshake")
	// errSilent is in the error when the other side says nothing.
	errSilent = errors.New("no answer")
)

// dialError is returned when no TCP connection could be made.
type dialError struct{ error }

func (e *dialError) Unwrap() error { return e.error }

// clientID is what the broker's logs and quotas call this client.
const clientID = "virtcast"

// link is one connection to one broker. It carries one request at a time. After an error it is of no
// use any more.
type link struct {
	conn     net.Conn
	frames   *frames
	requests int32                     // how many were sent; the number of one is its correlation id
	versions map[protocol.ApiKey]int16 // which version of each request is sent; 0 before hello
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

// newestVersion is the newest version without tagged fields, where kafka-go speaks newer ones: those bring nothing
// that is needed here, and lengths that are checked with more effort.
var newestVersion = map[protocol.ApiKey]int16{protocol.InitProducerId: 1, protocol.CreateTopics: 4}

// oldestVersion is the oldest version that does, of the requests without which nothing works.
var oldestVersion = map[protocol.ApiKey]int16{
	protocol.Produce:        3, // takes record batches of format v2
	protocol.Metadata:       4, // does not make the topic
	protocol.InitProducerId: 0,
}

// bareLogin is the version of the handshake after which bare bytes would follow, from before Apache Kafka 1.0.
const bareLogin = 0

// dial connects and logs in. It blocks until then, for at most cfg.ConnectTimeout, or until ctx ends. Files are
// read now, so that each connection uses what they hold then.
func dial(ctx context.Context, cfg *Config, address string) (*link, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, cfg.ConnectTimeout, fmt.Errorf("%w within %s", errSilent, cfg.ConnectTimeout))
	defer cancel()
	var tlsConfig *tls.Config
	if cfg.TLS != nil {
		var err error
		if tlsConfig, err = cfg.TLS.load(); err != nil {
			return nil, err
		}
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, &dialError{err}
	}
	if tlsConfig != nil {
		tlsConfig.ServerName, _, _ = net.SplitHostPort(address)
		secure := tls.Client(conn, tlsConfig)
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = conn.Close() // The handshake's error says more.
			return nil, fmt.Errorf("%w: %w", errTLS, err)
		}
		conn = secure
	}
	l := &link{conn: conn, frames: newFrames(conn)}
	if err := l.hello(ctx, cfg.ConnectTimeout); err != nil {
		l.close()
		return nil, fmt.Errorf("%w: %w", errHello, err)
	}
	if cfg.SASL.Mechanism != "" {
		if err := l.login(ctx, cfg.SASL, cfg.ConnectTimeout); err != nil {
			l.close()
			return nil, fmt.Errorf("%w: %w", errLogin, err)
		}
	}
	return l, nil
}

// hello asks which versions of each request the broker speaks.
func (l *link) hello(ctx context.Context, timeout time.Duration) error {
	m, err := l.roundTrip(ctx, timeout, new(apiversions.Request))
	if err != nil {
		return err
	}
	answer, ok := m.(*apiversions.Response)
	if !ok {
		return fmt.Errorf("unexpected answer %T", m)
	}
	if answer.ErrorCode != 0 {
		return &codeError{code: code(answer.ErrorCode)}
	}
	l.versions = make(map[protocol.ApiKey]int16, len(answers))
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
			l.versions[key] = version
		}
	}
	for key, oldest := range oldestVersion {
		if version, ok := l.versions[key]; !ok || version < oldest {
			return &codeError{code: codeUnsupportedVersion, what: key.String()}
		}
	}
	return nil
}

// login logs in by SASL.
func (l *link) login(ctx context.Context, cfg SASLConfig, timeout time.Duration) error {
	mechanism, err := cfg.mechanism()
	if err != nil {
		return err
	}
	if l.versions[protocol.SaslHandshake] == bareLogin {
		return &codeError{code: codeUnsupportedVersion, what: "SASL"}
	}
	m, err := l.roundTrip(ctx, timeout, &saslhandshake.Request{Mechanism: mechanism.Name()})
	if err != nil {
		return err
	}
	if answer, ok := m.(*saslhandshake.Response); ok && answer.ErrorCode != 0 {
		e := &codeError{code: code(answer.ErrorCode), what: string(cfg.Mechanism)}
		if len(answer.Mechanisms) > 0 {
			e.message = "it offers " + strings.Join(answer.Mechanisms, ", ")
		}
		return e
	}
	exchange, state, err := mechanism.Start(ctx)
	if err != nil {
		return err
	}
	for done := false; !done; {
		m, err := l.roundTrip(ctx, timeout, &saslauthenticate.Request{AuthBytes: state})
		if err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				// Some brokers say no by closing the connection.
				return &codeError{code: codeAuthenticationFailed}
			}
			return err
		}
		answer, ok := m.(*saslauthenticate.Response)
		if !ok {
			return fmt.Errorf("unexpected answer %T", m)
		}
		if answer.ErrorCode != 0 {
			return &codeError{code: code(answer.ErrorCode), message: answer.ErrorMessage}
		}
		if done, state, err = exchange.Next(ctx, answer.AuthBytes); err != nil {
			return err
		}
	}
	return nil
}

func (c SASLConfig) mechanism() (sasl.Mechanism, error) {
	switch c.Mechanism {
	case MechanismScramSHA256:
		return scram.Mechanism(scram.SHA256, c.Username, c.Password)
	case MechanismScramSHA512:
		return scram.Mechanism(scram.SHA512, c.Username, c.Password)
	case MechanismPlain:
	}
	return plain.Mechanism{Username: c.Username, Password: c.Password}, nil
}

// roundTrip sends a request and returns the answer. It blocks until then, for at most timeout, or until ctx ends, which
// closes the connection. After an error the request may have been carried out.
func (l *link) roundTrip(ctx context.Context, timeout time.Duration, m protocol.Message) (protocol.Message, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	defer context.AfterFunc(ctx, l.close)()
	if err := l.conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return nil, fmt.Errorf("%w: %w", errLost, err)
	}
	answer, err := l.exchange(m)
	var refused *codeError
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
func (l *link) exchange(m protocol.Message) (protocol.Message, error) {
	key := m.ApiKey()
	version, ok := l.versions[key]
	if !ok && l.versions != nil || answers[key] == nil {
		return nil, &codeError{code: codeUnsupportedVersion, what: key.String()}
	}
	l.requests++
	if err := protocol.WriteRequest(l.conn, version, l.requests, clientID, m); err != nil {
		return nil, err
	}
	return l.frames.read(key, version, l.requests, answers[key])
}

// close ends the connection; what is under way fails. It may be called at any time, by anyone, again.
func (l *link) close() {
	_ = l.conn.Close() // It may be closed already, and nobody waits for what is not sent.
}

// load reads the files of a TLS configuration.
func (t *TLSConfig) load() (*tls.Config, error) {
	c := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: t.Insecure, //nolint:gosec // The user asks for it by name.
	}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("tls.ca: %w: %w", errFile, err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls.ca: %w: no certificate in PEM form in %s", errFile, t.CA)
		}
	}
	if t.Cert != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("tls.cert and tls.key: %w: %w", errFile, err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
