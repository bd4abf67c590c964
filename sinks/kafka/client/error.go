package client

import (
	"errors"

	"github.com/virtcast/virtcast/internal/fault"
)

// ErrClosed is returned by every method after Close.
var ErrClosed = errors.New("kafka sink is closed")

var (
	// errHello is in the error when the other side does not answer as a broker does.
	errHello = errors.New("no answer of a Kafka broker")
	// errLogin is in the error when the broker did not accept the login.
	errLogin = errors.New("log in")
	// errLost is in the error when a connection ends or times out during a request.
	errLost = errors.New("connection lost")
	// errTLS is in the error when no TLS session was established.
	errTLS = errors.New("tls handshake")
	// errSilent is in the error when the other side sends nothing.
	errSilent = errors.New("no answer")
)

// Error is a failure that an operator may have to act on, in one line.
type Error = fault.Error

// dialError is returned when no TCP connection could be made.
type dialError struct{ error }

func (e *dialError) Unwrap() error { return e.error }

// brokerError names the broker that an error is about.
type brokerError struct {
	address string
	err     error
}

func (e *brokerError) Error() string { return "broker " + e.address + ": " + e.err.Error() }
func (e *brokerError) Unwrap() error { return e.err }
