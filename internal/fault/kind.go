package fault

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
)

// Kind is what kind of failure an error is, as far as an operator's next step depends on
// it.
type Kind uint8

// The kinds. Each is recognised by the type or value of an error, not by its text, except
// for TLS alerts, for which Go has no type.
const (
	// None is every failure that is of no other kind.
	None Kind = iota

	// UnknownAuthority: no authority that this side knows has signed the peer's
	// certificate.
	UnknownAuthority
	// NoAuthorities: this machine has no list of authorities.
	NoAuthorities
	// WrongName: the peer's certificate is for other names.
	WrongName
	// Expired: the peer's certificate has expired, or is not valid yet.
	Expired
	// BadCertificate: the peer's certificate cannot be used for another reason.
	BadCertificate
	// NotTLS: the peer does not speak TLS on this port.
	NotTLS
	// TLSVersion: the two sides have no version of TLS in common.
	TLSVersion
	// ClientRefused: the peer ended the handshake. Most often it wants a client
	// certificate, or another one.
	ClientRefused

	// NameUnknown: DNS knows no such host.
	NameUnknown
	// NameServer: DNS gave no answer, or an error.
	NameServer
	// Refused: nothing listens on that port.
	Refused
	// Unreachable: there is no way to that host.
	Unreachable
	// Timeout: the peer did not answer in time.
	Timeout
	// NoSocket: the unix socket does not exist.
	NoSocket
	// SocketDenied: this user may not use the unix socket.
	SocketDenied
	// Cut: the peer has closed the connection.
	Cut

	// AddressInUse: another program listens there.
	AddressInUse
	// AddressMissing: this machine does not have the address to listen on.
	AddressMissing
	// PortDenied: this user may not listen on that port.
	PortDenied
	// TooManyFiles: this process has as many open files as it may.
	TooManyFiles
	// TooManyFilesInSystem: the system has as many open files as it may.
	TooManyFilesInSystem

	// FileMissing: the file, or a directory above it, does not exist.
	FileMissing
	// FileDenied: this user may not use the file.
	FileDenied
	// NotAFile: the path is that of a directory.
	NotAFile
	// DiskFull: there is no space left, or the quota is used up.
	DiskFull
	// ReadOnly: the file system is read-only.
	ReadOnly
)

// KindOf returns what kind of failure err is.
func KindOf(err error) Kind {
	if err == nil {
		return None
	}
	// The order matters: an error of a dial may be one of the system, and a peer that
	// refuses a certificate may close the connection, too.
	for _, of := range []func(error) Kind{limit, certificate, handshake, listen, dial, file} {
		if k := of(err); k != None {
			return k
		}
	}
	if IsCut(err) {
		return Cut
	}
	return None
}

// IsCut reports whether the peer has ended the connection.
func IsCut(err error) bool {
	return isAny(err, io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE)
}

func isAny(err error, targets ...error) bool {
	for _, target := range targets {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

func limit(err error) Kind {
	switch {
	case errors.Is(err, syscall.EMFILE):
		return TooManyFiles
	case errors.Is(err, syscall.ENFILE):
		return TooManyFilesInSystem
	case isAny(err, syscall.ENOSPC, syscall.EDQUOT):
		return DiskFull
	case errors.Is(err, syscall.EROFS):
		return ReadOnly
	}
	return None
}

func certificate(err error) Kind {
	var (
		unknown  x509.UnknownAuthorityError
		roots    x509.SystemRootsError
		hostname x509.HostnameError
		invalid  x509.CertificateInvalidError
	)
	switch {
	case errors.As(err, &unknown):
		return UnknownAuthority
	case errors.As(err, &roots):
		return NoAuthorities
	case errors.As(err, &hostname):
		return WrongName
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return Expired
	case errors.As(err, &invalid):
		return BadCertificate
	}
	return None
}

func handshake(err error) Kind {
	var (
		record tls.RecordHeaderError
		alert  tls.AlertError
	)
	text := err.Error()
	switch {
	case errors.As(err, &record):
		return NotTLS
	case strings.Contains(text, "tls: protocol version not supported"), strings.Contains(text, "tls: server selected unsupported protocol version"):
		return TLSVersion
	case errors.As(err, &alert), strings.Contains(text, "remote error: tls:"):
		return ClientRefused
	}
	return None
}

func listen(err error) Kind {
	var op *net.OpError
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return AddressInUse
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return AddressMissing
	case errors.As(err, &op) && op.Op == "listen" && errors.Is(op, fs.ErrPermission) && strings.HasPrefix(op.Net, "tcp"):
		return PortDenied
	}
	return None
}

func dial(err error) Kind {
	var (
		dns     *net.DNSError
		op      *net.OpError
		timeout net.Error
	)
	unix := errors.As(err, &op) && strings.HasPrefix(op.Net, "unix")
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return NameUnknown
	case errors.As(err, &dns):
		return NameServer
	case errors.Is(err, syscall.ECONNREFUSED):
		return Refused
	case isAny(err, syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.ENETDOWN):
		return Unreachable
	case unix && errors.Is(op, fs.ErrNotExist):
		return NoSocket
	case unix && errors.Is(op, fs.ErrPermission):
		return SocketDenied
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return Timeout
	}
	return None
}

func file(err error) Kind {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return FileMissing
	case errors.Is(err, fs.ErrPermission):
		return FileDenied
	case errors.Is(err, syscall.EISDIR):
		return NotAFile
	}
	return None
}
