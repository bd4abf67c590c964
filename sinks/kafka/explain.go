package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
)

// Error is a failure that an operator may have to act on, in one line.
type Error struct {
	// Op is what was being done: "publish to kafka1:9092", "topic virt.events".
	Op string
	// Hint says what to change; "" where nothing but waiting helps.
	Hint string
	Err  error
}

// Error returns "op: what happened; hint".
func (e *Error) Error() string {
	text := strings.Join(strings.Fields(e.Op+": "+e.Err.Error()), " ")
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// explain makes an *Error of what went wrong, but for ctx's own error and [ErrClosed].
func (s *Sink) explain(ctx context.Context, err error) error {
	var e *Error
	switch {
	case err == nil, errors.Is(err, ErrClosed):
		return err
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &e):
		return e
	}
	return &Error{Op: "kafka " + s.cfg.Servers(), Hint: s.hint(err), Err: err}
}

func (s *Sink) hint(err error) string {
	var (
		dial             *dialError
		answer           *codeError
		unknownAuthority x509.UnknownAuthorityError
		hostname         x509.HostnameError
		invalid          x509.CertificateInvalidError
		record           tls.RecordHeaderError
		alert            tls.AlertError
	)
	switch {
	case errors.As(err, &answer):
		return s.codeHint(answer.code)
	case errors.Is(err, errFile):
		return "check the path, its permissions and what is in the file"
	case errors.As(err, &unknownAuthority):
		return "set tls.ca to the PEM file of the authority that signed the brokers' certificates"
	case errors.As(err, &hostname):
		return "use host names in brokers, and in the brokers' advertised.listeners, that their certificates are made out for"
	case errors.As(err, &invalid):
		return "renew the broker's certificate, or check this machine's clock"
	case errors.As(err, &record):
		return "the listener does not speak TLS: remove tls, or use the port of a TLS listener"
	case errors.As(err, &alert), strings.Contains(err.Error(), "remote error: tls:"):
		return "set tls.cert and tls.key to a client certificate that the brokers' authority signed"
	case errors.As(err, &dial):
		return "start the broker, or correct brokers; past the first contact, the addresses are the brokers' advertised.listeners"
	case errors.Is(err, errLogin):
		return "check sasl.username, sasl.password and sasl.mechanism"
	case errors.Is(err, errSilent):
		return "the broker is stuck, or what is sent to it is lost on the way: look at the broker, and at firewalls"
	case errors.Is(err, errTLS) && isCut(err):
		return "the listener does not speak TLS, it seems: remove tls, or use the port of a TLS listener"
	case errors.Is(err, errHello) && s.cfg.TLS == nil:
		return "the port is not that of a Kafka listener without TLS: add tls: {}, or correct brokers"
	case errors.Is(err, errHello):
		return "the port is not that of a Kafka listener, or the broker wants a client certificate: set tls.cert and tls.key, or correct brokers"
	case isCut(err) && s.cfg.SASL.Mechanism == "":
		return "if it keeps happening, the listener may want a login: set sasl"
	}
	return ""
}

// codeHint says what to do about an error code.
func (s *Sink) codeHint(c code) string {
	hint := c.lookup().hint
	switch c {
	case codeUnknownTopic:
		if s.cfg.Create != nil {
			return "wait until the new topic is known to all brokers"
		}
	case codeIllegalSASL:
		if s.cfg.SASL.Mechanism != "" {
			return "the listener has no login: remove sasl, or use the port of a listener with a login"
		}
	case codeAuthenticationFailed:
		return fmt.Sprintf("check sasl.username %q, its password, and that the broker knows it for %s", s.cfg.SASL.Username, s.cfg.SASL.Mechanism)
	case codeTopicAuthorization:
		if s.cfg.SASL.Username != "" {
			return fmt.Sprintf("allow user %q Describe and Write on the topic (kafka-acls.sh --add --allow-principal User:%[1]s "+
				"--producer --topic …)", s.cfg.SASL.Username)
		}
	default:
	}
	return hint
}

// isCut reports whether the other side has ended the connection.
func isCut(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
