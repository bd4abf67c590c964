package nats

import (
	"errors"
	"fmt"
	"strings"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/virtcast/virtcast/internal/fault"
)

// Error is a failure that an operator may have to act on, in one line: Op is what was
// being done, Err what went wrong, Hint what to change, if anything but waiting helps.
type Error = fault.Error

// explain makes an *Error of a cause, without the prefix of the client library.
func explain(op, hint string, err error) error {
	return &Error{Op: op, Hint: hint, Err: clientError{err}}
}

// clientError is an error of the client library, without the name of the library before
// it.
type clientError struct{ err error }

func (e clientError) Error() string { return strings.TrimPrefix(e.err.Error(), "nats: ") }
func (e clientError) Unwrap() error { return e.err }

// connectHints are the cures for what can fail on the way to a server, in the words of
// the configuration.
var connectHints = fault.Hints{
	fault.UnknownAuthority: "set tls.ca to the PEM file of the authority that signed the server's certificate",
	fault.NoAuthorities:    "install the system's authorities (package ca-certificates), or set tls.ca to a PEM file",
	fault.WrongName:        "write a host name in url that the server's certificate is made out for, or set tls.server_name to one",
	fault.NotTLS:           "the server does not speak TLS on this port: check scheme and port of url",
	fault.ClientRefused:    "set tls.cert and tls.key to a client certificate that the server's authority signed",
	fault.NameUnknown:      "correct the host in url, or check DNS",
	fault.Refused:          "start the server, or correct url",
	fault.Unreachable:      "correct the host in url, or check this machine's network and routes",
	fault.Timeout:          "start the server, correct url, or check firewalls on the way",
}

// connectError explains why no connection could be made.
func (s *Sink) connectError(err error) error {
	return explain("connect to "+redact(s.cfg.URL), s.connectHint(err), err)
}

func (s *Sink) connectHint(err error) string {
	kind := fault.KindOf(err)
	switch {
	case fault.Hinted(err):
		return ""
	case errors.Is(err, natsgo.ErrSecureConnWanted):
		return "the server offers no TLS: remove tls and write nats:// in url, or enable TLS on the server"
	case kind == fault.ClientRefused, errors.Is(err, natsgo.ErrTLS) && (kind == fault.None || kind == fault.Cut):
		// The server's alert; or what is left of it when the server was quicker to close.
		return s.certificateHint()
	case errors.Is(err, natsgo.ErrAuthExpired), errors.Is(err, natsgo.ErrAccountAuthExpired):
		return "the credentials have expired: get new ones"
	case errors.Is(err, natsgo.ErrAuthRevoked):
		return "the credentials were revoked: get new ones"
	case errors.Is(err, natsgo.ErrAuthorization):
		return s.authHint()
	case errors.Is(err, natsgo.ErrNkeysNotSupported):
		return "the server knows no nkeys: use another way to log in"
	case errors.Is(err, natsgo.ErrTimeout):
		return "the server accepts connections and does not answer: check it, and the port in url"
	}
	if hint := connectHints.For(err); hint != "" || !errors.Is(err, natsgo.ErrNoServers) && !errors.Is(err, errDial) {
		return hint
	}
	return "start the server, or correct url"
}

// certificateHint says what to do where the server refused the client's certificate, or
// the lack of one.
func (s *Sink) certificateHint() string {
	if at, expired := s.files.Expired(); expired {
		return fmt.Sprintf("the certificate in tls.cert expired at %s: renew it", at.UTC().Format(time.RFC3339))
	}
	return connectHints[fault.ClientRefused]
}

// authHint says what to check where the server refused the credentials.
func (s *Sink) authHint() string {
	methods := s.cfg.authMethods()
	switch {
	case methods == nil && !strings.Contains(s.cfg.URL, "@"):
		return "the server wants a login: set username and password, token, nkey or creds"
	case methods == nil:
		return "check the credentials in url"
	case methods[0] == "username":
		return fmt.Sprintf("check username %q and its password", s.cfg.Username)
	case methods[0] == "token":
		return "check token"
	case methods[0] == "nkey":
		return "add the public key of the nkey file to the server's users"
	}
	if expires := credsExpiry(s.cfg.Creds); !expires.IsZero() && expires.Before(time.Now()) {
		return fmt.Sprintf("the credentials expired at %s: get new ones", expires.UTC().Format(time.RFC3339))
	}
	return "check that creds belongs to an account and operator that the server knows"
}

// streamError explains why the stream could not be asked for or created.
func (s *Sink) streamError(err error) error {
	hint := ""
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound) && s.bucket != "":
		hint = "set create: true, or run: nats kv add " + s.bucket
	case errors.Is(err, jetstream.ErrStreamNotFound):
		hint = fmt.Sprintf("set create: true, or run: nats stream add %s --subjects '%s'", s.cfg.Stream, s.subject.filter())
	case errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		hint = "give the account JetStream limits on the server"
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, natsgo.ErrNoResponders):
		hint = "start the server with JetStream (-js), or set mode: core"
	case errors.Is(err, natsgo.ErrPermissionViolation):
		hint = fmt.Sprintf("let this user publish to $JS.API.STREAM.INFO.%s and subscribe to _INBOX.>", s.cfg.Stream)
	case errors.Is(err, errNoAnswer):
		hint = "check that the JetStream cluster has a leader and that this account may use it"
	case isCode(err, codeSubjectsOverlap):
		hint = fmt.Sprintf("another stream listens on %s: set stream to its name, or change subject", s.subject.filter())
	case isCode(err, codeNoSuitablePeers), isCode(err, codeReplicasNotSupported):
		hint = fmt.Sprintf("%d replicas need a cluster of as many servers: set replicas: 1, or add servers", s.cfg.Replicas)
	case isCode(err, codeStorageExceeded), isCode(err, codeMemoryExceeded), isCode(err, codeAccountResources):
		hint = "lower max_bytes, or raise the server's or the account's JetStream limits"
	}
	return explain("stream "+s.cfg.Stream, hint, err)
}

// publishError explains why publishing failed.
func (s *Sink) publishError(err error) error {
	hint := ""
	switch {
	case errors.Is(err, natsgo.ErrNoResponders):
		hint = fmt.Sprintf("no stream listens on %s, or it has no leader now: check stream %s", s.subject.filter(), s.cfg.Stream)
	case errors.Is(err, natsgo.ErrPermissionViolation):
		hint = fmt.Sprintf("let this user publish to %s and subscribe to _INBOX.>", s.subject.filter())
	case isCode(err, codeStoreFailed) && strings.Contains(err.Error(), "exceeded"):
		hint = fmt.Sprintf("stream %s is full and refuses new messages: raise its limits, or set its discard policy to old", s.cfg.Stream)
	case isCode(err, codeInsufficientResources), isCode(err, codeAccountResources):
		hint = "the server or the account has no JetStream storage left: free some, or raise the limits"
	case errors.Is(err, errNoAnswer):
		hint = fmt.Sprintf("check that stream %s has a leader, and that this user may publish to $JS.API.STREAM.MSG.GET.%s",
			s.cfg.Stream, s.cfg.Stream)
	case isCode(err, codeOtherStream), errors.Is(err, errOtherStream):
		hint = fmt.Sprintf("another stream listens on %s: make stream %s listen there, or set stream to the other's name",
			s.subject.filter(), s.cfg.Stream)
	case isCode(err, codeSealed):
		hint = fmt.Sprintf("stream %s is sealed for ever: set stream to another one", s.cfg.Stream)
	}
	return explain("publish to "+redact(s.cfg.URL), hint, err)
}

// Error codes of the JetStream API that the client library has no names for.
const (
	codeAccountResources      jetstream.ErrorCode = 10002
	codeNoSuitablePeers       jetstream.ErrorCode = 10005
	codeInsufficientResources jetstream.ErrorCode = 10023
	codeMemoryExceeded        jetstream.ErrorCode = 10028
	codeStorageExceeded       jetstream.ErrorCode = 10047
	codeOtherStream           jetstream.ErrorCode = 10060
	codeSubjectsOverlap       jetstream.ErrorCode = 10065
	codeReplicasNotSupported  jetstream.ErrorCode = 10074
	codeStoreFailed           jetstream.ErrorCode = 10077
	codeSealed                jetstream.ErrorCode = 10109
	codeHeaderTooLarge        jetstream.ErrorCode = 10097
	codeDuplicateOnItsWay     jetstream.ErrorCode = 10158
)

func isCode(err error, code jetstream.ErrorCode) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == code
}
