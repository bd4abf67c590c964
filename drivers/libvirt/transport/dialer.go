package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/virtcast/virtcast/drivers/libvirt/peertext"
)

// Conn is an open stream to a daemon. Deadlines work on every kind. Close ends everything
// that belongs to it and waits for its goroutines.
type Conn struct {
	net.Conn
	Kind Kind
	// Encrypted is that of the kind, see [Kind.Encrypted].
	Encrypted bool
	// Verified is that of the URI, see [URI.Verified].
	Verified bool
	// Via says in a few words what was reached, for logs: a socket's path, or host, port
	// and user.
	Via string
}

// Error is returned by [Dialer.Dial], and by reads from an SSH connection whose remote
// program failed. It carries what an operator can do.
type Error struct {
	// Op is what was done: "dial", "tls handshake", "ssh login" and so on.
	Op string
	// URI is the connection, in canonical form.
	URI string
	// Hint is the cure, a phrase without a full stop; "" if Err says all.
	Hint string
	Err  error
}

// maxCause bounds the cause in the text of an [Error], in bytes. An SSH server's reason
// for refusing may have 256 KiB, with line feeds and escape sequences in it.
const maxCause = 2 << 10

// Error returns "op uri: err; hint", in one line.
func (e *Error) Error() string {
	s := e.Op + " " + e.URI + ": " + peertext.Line(e.Err.Error(), maxCause)
	if e.Hint != "" {
		s += "; " + e.Hint
	}
	return s
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

func (u *URI) fail(op string, err error, hint string) *Error {
	return &Error{Op: op, URI: u.String(), Hint: hint, Err: err}
}

// Dialer opens streams. The zero value is ready for use and means what libvirt means.
type Dialer struct {
	// RunDirs are the directories of the system's sockets; nil means /run/libvirt and
	// /var/run/libvirt.
	RunDirs []string
	// PKIDir is the directory of the system's certificates; "" means /etc/pki.
	PKIDir string
	// KeepAlive is TCP's; the zero value probes after 15 s of silence, every 15 s, 9
	// times.
	KeepAlive net.KeepAliveConfig

	euid func() int // os.Geteuid if nil; tests play other users.
}

func (d Dialer) root() bool {
	if d.euid != nil {
		return d.euid() == 0
	}
	return os.Geteuid() == 0
}

// Dial opens the stream that u describes. It blocks until it is ready for the first RPC
// call (connected, encrypted, accepted), or until ctx ends; ctx has no say afterwards.
// The error is an [*Error], or ctx's own wrapped in one.
func (d Dialer) Dial(ctx context.Context, u *URI) (*Conn, error) {
	var conn *Conn
	var err error
	switch u.Transport {
	case Unix:
		conn, err = d.dialUnix(ctx, u)
	case TCP:
		conn, err = d.dialTCP(ctx, u)
	case TLS:
		conn, err = d.dialTLS(ctx, u)
	case SSH:
		conn, err = d.dialSSH(ctx, u)
	default:
		err = u.fail("dial", uriError("transport %q is unknown", u.Transport), "")
	}
	if err == nil {
		conn.Verified = u.Verified()
		return conn, nil
	}
	var failed *Error
	if cause := context.Cause(ctx); cause != nil && errors.As(err, &failed) && !errors.Is(err, cause) {
		failed.Err, failed.Hint = fmt.Errorf("%w (%w)", cause, failed.Err), "" // What broke, broke because ctx ended.
	}
	return nil, err
}

func (d Dialer) dialTCP(ctx context.Context, u *URI) (*Conn, error) {
	conn, err := d.connect(ctx, u)
	if err != nil {
		return nil, err
	}
	return &Conn{Conn: conn, Kind: TCP, Via: "tcp " + u.address()}, nil
}

// connect opens the TCP connection below tcp, tls and ssh.
func (d Dialer) connect(ctx context.Context, u *URI) (net.Conn, error) {
	keepAlive := d.KeepAlive
	keepAlive.Enable = true
	dialer := net.Dialer{KeepAliveConfig: keepAlive}
	conn, err := dialer.DialContext(ctx, "tcp", u.address())
	if err != nil {
		return nil, u.fail("dial", err, connectHint(u, err))
	}
	return conn, nil
}

func connectHint(u *URI, err error) string {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		return "check the host's name in the URI, and DNS"
	case !errors.Is(err, syscall.ECONNREFUSED):
		return ""
	case u.Transport == SSH:
		return "no ssh server listens there; check the port in the URI"
	case u.Transport == TLS:
		return "libvirt does not listen there; start libvirtd-tls.socket (virtproxyd-tls.socket where daemons are modular) on the host"
	default:
		return "libvirt does not listen there; start libvirtd-tcp.socket on the host, or better use tls or ssh"
	}
}

// guard makes ctx end whatever blocks on conn. The returned func gives conn back to the
// caller, free of deadlines, and reports why it cannot.
func guard(ctx context.Context, conn net.Conn) (release func() error) {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	return func() error {
		if !stop() {
			return context.Cause(ctx)
		}
		return nil
	}
}
