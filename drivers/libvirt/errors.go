package libvirt

import (
	"errors"
	"io"
	"syscall"

	"github.com/virtcast/virtcast/drivers/libvirt/wire"
)

// RemoteError is the daemon's own answer to a call, with its code.
type RemoteError = wire.RemoteError

var (
	// ErrUnsupported is returned when the hypervisor's driver has no such call, or the
	// daemon or this client is too old for the kind of event. Asking again does not help.
	ErrUnsupported = errors.New("not supported")
	// ErrClosed is returned by calls on a session that is closed or lost.
	ErrClosed = errors.New("session has ended")
	// ErrPeerSilent ends a session whose peer answers no keepalive.
	ErrPeerSilent = errors.New("the peer has fallen silent")
	// ErrOverflow ends a session in which more events came before the answer to a
	// registration than can be held.
	ErrOverflow = errors.New("too many events ahead of the answer to a registration")
)

// Error says which operation failed on which connection, and what an operator can do
// about it.
type Error struct {
	// Op is what was tried: "open", "register lifecycle".
	Op string
	// Connection is the connection's configured name.
	Connection string
	// Hint is a lower-case phrase on what to do, or empty.
	Hint string
	Err  error
}

// Error returns "connection NAME: op: cause; hint".
func (e *Error) Error() string {
	s := "connection " + e.Connection + ": " + e.Op + ": " + e.Err.Error()
	if e.Hint != "" {
		s += "; " + e.Hint
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Permanent reports that asking again in this session does not help.
func (e *Error) Permanent() bool { return errors.Is(e.Err, ErrUnsupported) }

// code returns the daemon's code in err, or 0.
func code(err error) int32 {
	var remote *RemoteError
	if errors.As(err, &remote) {
		return remote.Code
	}
	return 0
}

// IsUnsupported reports whether err says that the driver or daemon does not have what was
// asked for.
func IsUnsupported(err error) bool {
	return errors.Is(err, ErrUnsupported) || code(err) == wire.CodeNoSupport
}

// IsAuthentication reports whether the daemon refused who is asking.
func IsAuthentication(err error) bool {
	switch code(err) {
	case wire.CodeAuthFailed, wire.CodeAuthCancelled, wire.CodeAuthUnavailable:
		return true
	}
	return false
}

// IsAccessDenied reports whether the daemon knows who is asking and does not allow it.
func IsAccessDenied(err error) bool {
	c := code(err)
	return c == wire.CodeAccessDenied || c == wire.CodeOperationDenied
}

// fail wraps err for op, with a hint; nil stays nil.
func (s *Session) fail(op string, err error) error { return wrap(s.config.Name, op, err) }

func wrap(connection, op string, err error) error {
	var already *Error
	if err == nil || errors.As(err, &already) {
		return err
	}
	return &Error{Op: op, Connection: connection, Hint: hint(err), Err: err}
}

// hint returns what an operator can do about err, or nothing.
func hint(err error) string {
	var remote *RemoteError
	var foreign *wire.ForeignError
	errors.As(err, &remote)
	switch code(err) {
	case wire.CodeAuthFailed, wire.CodeAuthCancelled, wire.CodeAuthUnavailable:
		return "check the credentials, or the polkit rule for the action org.libvirt.unix.monitor"
	case wire.CodeAccessDenied:
		return wire.PermissionCure(remote.Procedure)
	case wire.CodeNoConnect:
		return "check the driver and path of the uri, and that the daemon has that driver"
	case wire.CodeRPC:
		return "the daemon may be too old, or wants an authentication that it did not ask for"
	}
	switch {
	case errors.As(err, &foreign):
		return foreign.Cure()
	case errors.Is(err, wire.ErrFrameLength):
		return "what answers there may not be libvirtd"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return "the daemon closed the connection: it was stopped, has too many clients, or does not accept this one; its log says which"
	}
	return ""
}
