package fault

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type permanent struct{ error }

func (permanent) Permanent() bool { return true }
func (p permanent) Unwrap() error { return p.error }

func TestError(t *testing.T) {
	tests := map[string]struct {
		err       *Error
		want      string
		permanent bool
	}{
		"all":         {&Error{"connect to a:1", "start it", io.EOF}, "connect to a:1: EOF; start it", false},
		"no hint":     {&Error{"connect to a:1", "", io.EOF}, "connect to a:1: EOF", false},
		"no cause":    {&Error{"stop", "wait", nil}, "stop; wait", false},
		"lines":       {&Error{"read", "", errors.Join(io.EOF, errors.New("b\r\n\tc   d"))}, "read: EOF b c d", false},
		"permanent":   {&Error{"publish", "", fmt.Errorf("event 1: %w", permanent{io.EOF})}, "publish: event 1: EOF", true},
		"nested":      {&Error{"a", "", &Error{"b", "", permanent{io.EOF}}}, "a: b: EOF", true},
		"nested hint": {&Error{"a", "", &Error{"b", "wait", io.EOF}}, "a: b: EOF; wait", false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tc.err.Error(); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if got := tc.err.Permanent(); got != tc.permanent {
				t.Errorf("Permanent: got %t, want %t", got, tc.permanent)
			}
			if got := IsPermanent(fmt.Errorf("x: %w", tc.err)); got != tc.permanent {
				t.Errorf("IsPermanent: got %t, want %t", got, tc.permanent)
			}
			if tc.err.Err != nil && !errors.Is(tc.err, io.EOF) {
				t.Error("the cause is not found in it")
			}
		})
	}
	if IsPermanent(nil) || IsPermanent(io.EOF) {
		t.Error("an error without a method Permanent is permanent")
	}
}

// provoke returns errors that the system and the standard library themselves make.
func provoke(t *testing.T) map[string]error {
	t.Helper()
	dir := t.TempDir()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	errs := map[string]error{}
	_, errs["address in use"] = net.Listen("tcp", taken.Addr().String())
	_, errs["address missing"] = net.Listen("tcp", "192.0.2.1:0")
	_, errs["refused"] = net.Dial("tcp", closed.Addr().String())
	_, errs["timeout"] = (&net.Dialer{}).DialContext(short, "tcp", taken.Addr().String())
	_, errs["no socket"] = net.Dial("unix", filepath.Join(dir, "socket"))
	_, errs["file missing"] = os.Open(filepath.Join(dir, "missing"))
	_, errs["directory"] = os.ReadFile(dir)
	_, errs["below a file"] = os.Open("/dev/null/x")
	_, errs["unknown host"] = net.LookupHost("virtcast.invalid.")
	client, server := net.Pipe()
	go func() {
		_, _ = server.Read(make([]byte, 1<<16))
		_, _ = io.WriteString(server, "HTTP/1.0 400 Bad Request\r\n\r\n")
		_ = server.Close()
	}()
	errs["not tls"] = tls.Client(client, &tls.Config{ServerName: "a"}).Handshake()
	_ = client.Close()
	return errs
}

func TestKindOf(t *testing.T) {
	provoked := provoke(t)
	opError := func(op, network string, err error) error {
		return &net.OpError{Op: op, Net: network, Err: os.NewSyscallError("x", err)}
	}
	tests := map[string]struct {
		err  error
		want Kind
	}{
		"nil":             {nil, None},
		"other":           {errors.New("other"), None},
		"address in use":  {provoked["address in use"], AddressInUse},
		"address missing": {provoked["address missing"], AddressMissing},
		"refused":         {provoked["refused"], Refused},
		"timeout":         {provoked["timeout"], Timeout},
		"no socket":       {provoked["no socket"], NoSocket},
		"file missing":    {provoked["file missing"], FileMissing},
		"directory":       {provoked["directory"], NotAFile},
		"below a file":    {provoked["below a file"], FileMissing},
		"not tls":         {provoked["not tls"], NotTLS},

		"unknown authority": {&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, UnknownAuthority},
		"no authorities":    {x509.SystemRootsError{}, NoAuthorities},
		"wrong name":        {x509.HostnameError{Certificate: &x509.Certificate{}, Host: "a"}, WrongName},
		"expired":           {x509.CertificateInvalidError{Reason: x509.Expired}, Expired},
		"bad certificate":   {x509.CertificateInvalidError{Reason: x509.IncompatibleUsage}, BadCertificate},
		"alert": {
			&net.OpError{Op: "remote error", Err: errors.New("tls: bad certificate")}, ClientRefused,
		},
		"alert of QUIC":    {fmt.Errorf("x: %w", tls.AlertError(42)), ClientRefused},
		"alert of version": {&net.OpError{Op: "remote error", Err: errors.New("tls: protocol version not supported")}, TLSVersion},

		"unknown host":             {&net.DNSError{Err: "no such host", IsNotFound: true}, NameUnknown},
		"name server":              {&net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "server misbehaving", IsTimeout: true}}, NameServer},
		"unreachable":              {opError("dial", "tcp", syscall.EHOSTUNREACH), Unreachable},
		"no network":               {opError("dial", "tcp", syscall.ENETUNREACH), Unreachable},
		"connect timed out":        {opError("dial", "tcp", syscall.ETIMEDOUT), Timeout},
		"deadline":                 {fmt.Errorf("read: %w", os.ErrDeadlineExceeded), Timeout},
		"context":                  {context.DeadlineExceeded, Timeout},
		"cancelled":                {context.Canceled, None},
		"socket denied":            {opError("dial", "unix", syscall.EACCES), SocketDenied},
		"socket refused":           {opError("dial", "unix", syscall.ECONNREFUSED), Refused},
		"port denied":              {opError("listen", "tcp", syscall.EACCES), PortDenied},
		"too many files in a dial": {opError("dial", "tcp", syscall.EMFILE), TooManyFiles},
		"too many files":           {&fs.PathError{Op: "open", Path: "/x", Err: syscall.EMFILE}, TooManyFiles},
		"too many in the system":   {&fs.PathError{Op: "open", Path: "/x", Err: syscall.ENFILE}, TooManyFilesInSystem},
		"disk full":                {&fs.PathError{Op: "write", Path: "/x", Err: syscall.ENOSPC}, DiskFull},
		"quota":                    {&fs.PathError{Op: "write", Path: "/x", Err: syscall.EDQUOT}, DiskFull},
		"read-only":                {&fs.PathError{Op: "open", Path: "/x", Err: syscall.EROFS}, ReadOnly},
		"file denied":              {&fs.PathError{Op: "open", Path: "/x", Err: syscall.EACCES}, FileDenied},
		"end":                      {fmt.Errorf("read: %w", io.EOF), Cut},
		"reset":                    {opError("read", "tcp", syscall.ECONNRESET), Cut},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := KindOf(tc.err); got != tc.want {
				t.Errorf("%v: got kind %d, want %d", tc.err, got, tc.want)
			}
			wrapped := &Error{Op: "a", Err: errors.Join(errors.New("b"), tc.err)}
			if got := KindOf(wrapped); got != tc.want && tc.err != nil {
				t.Errorf("%v: got kind %d, want %d", wrapped, got, tc.want)
			}
		})
	}
	// A resolver may be missing where tests run; both kinds name DNS.
	if got := KindOf(provoked["unknown host"]); got != NameUnknown && got != NameServer {
		t.Errorf("%v: got kind %d, want one of DNS", provoked["unknown host"], got)
	}
}

// TestHints: every kind but the two about which nothing can be said has a hint of one
// line.
func TestHints(t *testing.T) {
	for k := None; k <= ReadOnly; k++ {
		hint := k.Hint()
		if (hint == "") != (k == None || k == Cut) {
			t.Errorf("kind %d has the hint %q", k, hint)
		}
		if strings.ToLower(hint[:min(1, len(hint))]) != hint[:min(1, len(hint))] || strings.HasSuffix(hint, ".") || strings.ContainsAny(hint, "\n\t") {
			t.Errorf("the hint %q is not a lower-case phrase of one line", hint)
		}
	}
	if got := Kind(255).Hint(); got != "" {
		t.Errorf("an unknown kind has the hint %q", got)
	}
	own := Hints{Refused: "start the broker", Timeout: ""}
	for _, tc := range []struct {
		err  error
		want string
	}{
		{syscall.ECONNREFUSED, "start the broker"},
		{os.ErrDeadlineExceeded, ""},
		{syscall.EMFILE, TooManyFiles.Hint()},
		{fmt.Errorf("x: %w", &Error{Op: "a", Err: syscall.ECONNREFUSED}), "start the broker"},
		{fmt.Errorf("x: %w", &Error{Op: "a", Hint: "do b", Err: syscall.ECONNREFUSED}), ""},
		{&Error{Op: "a", Err: &Error{Op: "b", Hint: "do c", Err: syscall.ECONNREFUSED}}, ""},
		{errors.New("other"), ""},
	} {
		if got := own.For(tc.err); got != tc.want {
			t.Errorf("%v: got hint %q, want %q", tc.err, got, tc.want)
		}
	}
	if got := Hint(syscall.ECONNREFUSED); got != Refused.Hint() {
		t.Errorf("got %q, want the general hint", got)
	}
}
