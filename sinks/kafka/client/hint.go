package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/virtcast/virtcast/internal/fault"
)

// hints are the words of this room for the failures that every network client has.
var hints = fault.Hints{
	fault.UnknownAuthority: "set tls.ca to the PEM file of the authority that signed the brokers' certificates",
	fault.WrongName: "use host names in brokers, and in the brokers' advertised.listeners, that their " +
		"certificates are made out for",
	fault.Expired:       "renew the broker's certificate, or check this machine's clock",
	fault.NotTLS:        "the listener does not speak TLS: remove tls, or use the port of a TLS listener",
	fault.ClientRefused: "set tls.cert and tls.key to a client certificate that the brokers' authority signed",
	// The cases below decide about these by more than the kind.
	fault.Timeout: "", fault.Cut: "",
}

// Explain makes an [*Error] of a failure. Nil, the reason why ctx ended and [ErrClosed]
// stay as they are.
func (c *Config) Explain(ctx context.Context, err error) error {
	e, explained := err.(*Error) //nolint:errorlint // What is around it belongs to the text.
	switch {
	case err == nil, errors.Is(err, ErrClosed):
		return err
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case explained:
		return e
	}
	return &Error{Op: "kafka " + c.servers(), Hint: c.hint(err), Err: err}
}

// hint returns what to do about an error; "" where nothing helps, or where the error has
// it.
func (c *Config) hint(err error) string {
	if fault.Hinted(err) {
		return ""
	}
	var answer *CodeError
	if errors.As(err, &answer) {
		return c.codeHint(answer.Code)
	}
	var dial *dialError
	kind := fault.KindOf(err)
	switch {
	case errors.As(err, &dial) && kind != fault.TooManyFiles && kind != fault.TooManyFilesInSystem:
		return "start the broker, or correct brokers; past the first contact, the addresses are the " +
			"brokers' advertised.listeners"
	case errors.Is(err, errLogin):
		return "check sasl.username, sasl.password and sasl.mechanism"
	case errors.Is(err, errSilent):
		return "the broker is stuck, or packets are lost on the way: look at the broker, and at firewalls"
	case errors.Is(err, errTLS) && kind == fault.Cut:
		return "the listener does not speak TLS, it seems: remove tls, or use the port of a TLS listener"
	case errors.Is(err, errHello) && kind != fault.ClientRefused && c.TLS == nil:
		return "the port is not that of a Kafka listener without TLS: add tls: {}, or correct brokers"
	case errors.Is(err, errHello) && kind != fault.ClientRefused:
		return "the port is not that of a Kafka listener, or the broker wants a client certificate: " +
			"set tls.cert and tls.key, or correct brokers"
	case kind == fault.Cut && c.SASL.Mechanism == "":
		return "if it keeps happening, the listener may want a login: set sasl"
	}
	return hints.For(err)
}

// codeHint returns what to do about an error code.
func (c *Config) codeHint(code Code) string {
	switch code {
	case CodeUnknownTopic:
		if c.Create != nil {
			return "wait until the new topic is known to all brokers"
		}
	case codeIllegalSASL:
		if c.SASL.Mechanism != "" {
			return "the listener has no login: remove sasl, or use the port of a listener with a login"
		}
	case codeAuthenticationFailed:
		return fmt.Sprintf("check sasl.username %q, its password, and that the broker knows it for %s",
			c.SASL.Username, c.SASL.Mechanism)
	case codeTopicAuthorization:
		if c.SASL.Username != "" {
			return fmt.Sprintf("allow user %q Describe and Write on the topic (kafka-acls.sh --add "+
				"--allow-principal User:%[1]s --producer --topic …)", c.SASL.Username)
		}
	default:
	}
	return code.lookup().hint
}
