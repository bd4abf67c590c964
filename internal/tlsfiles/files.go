package tlsfiles

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/virtcast/virtcast/internal/fault"
	"github.com/virtcast/virtcast/internal/field"
)

// Files gives TLS configurations made of what the files hold at that moment. Its methods
// are safe for concurrent use.
type Files struct {
	cfg  Config
	path field.Path

	mu sync.Mutex // guards what follows: what was read last, and what it means
	// ca, cert and key are the contents of the files; nil before the first time.
	ca, cert, key []byte
	roots         *x509.CertPool
	pair          *tls.Certificate
}

// New returns the files of c, whose settings are below path. It reads nothing yet.
func New(c Config, path field.Path) *Files { return &Files{cfg: c, path: path} }

// Client returns the configuration for one connection to host, which may be empty where
// the caller sets ServerName itself. It reads the files. Where a library keeps the
// configuration for later connections, the client certificate is still read for each of
// them, but the authorities are those of now.
func (f *Files) Client(host string) (*tls.Config, error) {
	roots, err := f.Roots()
	if err != nil {
		return nil, err
	}
	if _, err := f.Certificate(); err != nil {
		return nil, err
	}
	c := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ServerName:         f.cfg.ServerName,
		RootCAs:            roots,
		InsecureSkipVerify: f.cfg.Insecure, //nolint:gosec // The user asks for it by name.
	}
	if c.ServerName == "" {
		c.ServerName = host
	}
	if f.cfg.Cert != "" {
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return f.Certificate() }
	}
	return c, nil
}

// Handshake makes a TLS connection of conn, which leads to address (host:port). conn
// stays the caller's to close when it fails. It ends when ctx does.
func (f *Files) Handshake(ctx context.Context, conn net.Conn, address string) (*tls.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	c, err := f.Client(host)
	if err != nil {
		return nil, err
	}
	secure := tls.Client(conn, c)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return secure, nil
}

// Roots reads the authorities. It returns nil where the system's are meant.
func (f *Files) Roots() (*x509.CertPool, error) {
	if f.cfg.CA == "" {
		return nil, nil //nolint:nilnil // nil is the system's pool, as in tls.Config.
	}
	data, err := os.ReadFile(f.cfg.CA)
	if err != nil {
		return nil, f.bad("ca", err, fault.Hint(err))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.roots != nil && bytes.Equal(data, f.ca) {
		return f.roots, nil
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(data) {
		return nil, f.bad("ca", fmt.Errorf("%s holds no certificate in PEM form", f.cfg.CA),
			"write the path of a file that has BEGIN CERTIFICATE in it")
	}
	f.ca, f.roots = data, roots
	return roots, nil
}

// Certificate reads the client's certificate and key. It returns an empty certificate
// where none is configured: nothing is sent then.
func (f *Files) Certificate() (*tls.Certificate, error) {
	if f.cfg.Cert == "" {
		return &tls.Certificate{}, nil
	}
	cert, err := os.ReadFile(f.cfg.Cert)
	if err != nil {
		return nil, f.bad("cert", err, fault.Hint(err))
	}
	key, err := os.ReadFile(f.cfg.Key)
	if err != nil {
		return nil, f.bad("key", err, fault.Hint(err))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.pair != nil && bytes.Equal(cert, f.cert) && bytes.Equal(key, f.key) {
		return f.pair, nil
	}
	pair, err := f.parse(cert, key)
	if err != nil {
		return nil, err
	}
	f.cert, f.key, f.pair = cert, key, pair
	return pair, nil
}

// Expired returns when the client certificate that was read last has expired. It is false
// where there is none, or it is still valid. A server that refuses an expired certificate
// rarely gives that as the reason.
func (f *Files) Expired() (at time.Time, expired bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.pair == nil || f.pair.Leaf == nil || time.Now().Before(f.pair.Leaf.NotAfter) {
		return time.Time{}, false
	}
	return f.pair.Leaf.NotAfter, true
}

func (f *Files) parse(cert, key []byte) (*tls.Certificate, error) {
	if !hasBlock(cert, "CERTIFICATE") {
		return nil, f.bad("cert", fmt.Errorf("%s holds no certificate in PEM form", f.cfg.Cert),
			"write the path of a file that has BEGIN CERTIFICATE in it")
	}
	plain, err := decryptKey(key, f.cfg.KeyPassword)
	switch {
	case errors.Is(err, errNoKey):
		return nil, f.bad("key", fmt.Errorf("%s: %w", f.cfg.Key, err), "write the path of a file that has BEGIN … PRIVATE KEY in it")
	case errors.Is(err, errNoPassword):
		return nil, f.bad("key_password", fmt.Errorf("%s: %w", f.cfg.Key, err), "add key_password, or decrypt the key: openssl pkey -in KEY -out NEWKEY")
	case errors.Is(err, errPassword):
		return nil, f.bad("key_password", fmt.Errorf("%s: %w", f.cfg.Key, err), "write the password that the key was encrypted with")
	case err != nil:
		return nil, f.bad("key", fmt.Errorf("%s: %w", f.cfg.Key, err),
			"encrypt it in another way: openssl pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA256 -in KEY -out NEWKEY")
	}
	defer clear(plain)
	pair, err := tls.X509KeyPair(cert, plain)
	if err != nil {
		text := strings.TrimPrefix(err.Error(), "tls: ")
		return nil, f.bad("key", fmt.Errorf("%s and %s do not fit together: %s", f.cfg.Cert, f.cfg.Key, text),
			"write the paths of a certificate and of its own key")
	}
	return &pair, nil
}

// fileError is a fault of the file that one setting names.
type fileError struct {
	key, hint string
	err       error
}

func (e *fileError) Error() string { return e.err.Error() }
func (e *fileError) Unwrap() error { return e.err }

func (f *Files) bad(key string, err error, hint string) error {
	return &fault.Error{Op: string(f.path.Key(key)), Hint: hint, Err: &fileError{key, hint, err}}
}
