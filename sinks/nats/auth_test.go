package nats

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"github.com/virtcast/virtcast/sinks/sinktest"
)

// writeFile writes a file that only its owner may read, and returns its path.
func writeFile(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// authority is a certificate authority.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	ca   string // path of its certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{key: must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der := must[[]byte](t)(x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key))
	a.cert = must[*x509.Certificate](t)(x509.ParseCertificate(der))
	a.ca = writeFile(t, "ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return a
}

// issue returns the paths of a new certificate and its key.
func (a *authority) issue(t *testing.T, host string, notAfter time.Time) (cert, key string) {
	t.Helper()
	k := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: host},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: notAfter,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	der := must[[]byte](t)(x509.CreateCertificate(rand.Reader, template, a.cert, &k.PublicKey, a.key))
	keyDER := must[[]byte](t)(x509.MarshalECPrivateKey(k))
	return writeFile(t, "cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		writeFile(t, "key.pem", pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}))
}

// serverTLS is the TLS configuration of a server; with clients, it wants their
// certificates.
func (a *authority) serverTLS(t *testing.T, host string, notAfter time.Time, clients bool) *tls.Config {
	t.Helper()
	pair := must[tls.Certificate](t)(tls.LoadX509KeyPair(a.issue(t, host, notAfter)))
	c := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if clients {
		c.ClientCAs = x509.NewCertPool()
		c.ClientCAs.AddCert(a.cert)
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return c
}

// newNKey returns the path of a file with a seed, and the public key.
func newNKey(t *testing.T) (path, public string) {
	t.Helper()
	pair := must[nkeys.KeyPair](t)(nkeys.CreateUser())
	seed := must[[]byte](t)(pair.Seed())
	return writeFile(t, "user.nk", seed), must[string](t)(pair.PublicKey())
}

// operator is a server's configuration with JWTs, and how to get credentials for it.
type operator struct {
	options func(*server.Options)
	creds   func(t *testing.T, expires time.Time) string
}

func newOperator(t *testing.T) operator {
	t.Helper()
	operatorKey := must[nkeys.KeyPair](t)(nkeys.CreateOperator())
	systemKey := must[nkeys.KeyPair](t)(nkeys.CreateAccount())
	accountKey := must[nkeys.KeyPair](t)(nkeys.CreateAccount())
	public := must[string](t)
	system := jwt.NewAccountClaims(public(systemKey.PublicKey()))
	account := jwt.NewAccountClaims(public(accountKey.PublicKey()))
	account.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: -1, DiskStorage: -1, Streams: -1, Consumer: -1}
	claims := jwt.NewOperatorClaims(public(operatorKey.PublicKey()))
	claims.SystemAccount = system.Subject
	resolver := &server.MemAccResolver{}
	for _, a := range []*jwt.AccountClaims{system, account} {
		token := must[string](t)(a.Encode(operatorKey))
		if err := resolver.Store(a.Subject, token); err != nil {
			t.Fatal(err)
		}
	}
	signed := must[string](t)(claims.Encode(operatorKey))
	decoded := must[*jwt.OperatorClaims](t)(jwt.DecodeOperatorClaims(signed))
	return operator{
		options: func(o *server.Options) {
			o.TrustedOperators = []*jwt.OperatorClaims{decoded}
			o.SystemAccount, o.AccountResolver = system.Subject, resolver
		},
		creds: func(t *testing.T, expires time.Time) string {
			t.Helper()
			userKey := must[nkeys.KeyPair](t)(nkeys.CreateUser())
			user := jwt.NewUserClaims(must[string](t)(userKey.PublicKey()))
			if !expires.IsZero() {
				user.Expires = expires.Unix()
			}
			token := must[string](t)(user.Encode(accountKey))
			seed := must[[]byte](t)(userKey.Seed())
			return writeFile(t, "user.creds", must[[]byte](t)(jwt.FormatUserConfig(token, seed)))
		},
	}
}

// TestLogin: every way to log in works, and every way in which it fails says in one line
// what to change.
func TestLogin(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	later, past := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	clientCert, clientKey := a.issue(t, "virtcast", later)
	otherCert, otherKey := other.issue(t, "virtcast", later)
	nkey, nkeyPublic := newNKey(t)
	otherNKey, _ := newNKey(t)
	op, otherOp := newOperator(t), newOperator(t)
	missingFile := filepath.Join(t.TempDir(), "missing")
	noPEM := writeFile(t, "empty.pem", []byte("nothing\n"))
	plain := func(*server.Options) {}
	password := func(o *server.Options) { o.Username, o.Password = "bridge", "secret" }
	token := func(o *server.Options) { o.Authorization = "s3cr3t" }
	withNKey := func(o *server.Options) {
		o.Nkeys = []*server.NkeyUser{{Nkey: nkeyPublic}}
	}
	withTLS := func(host string, notAfter time.Time, clients bool) func(*server.Options) {
		return func(o *server.Options) {
			o.TLS, o.TLSVerify, o.TLSTimeout = true, clients, 5
			o.TLSConfig = a.serverTLS(t, host, notAfter, clients)
		}
	}
	tests := []struct {
		name   string
		server func(*server.Options)
		cfg    Config
		want   string // in the error; "" for success
	}{
		{"no login", plain, Config{}, ""},
		{"password", password, Config{Username: "bridge", Password: "secret"}, ""},
		{"wrong password", password, Config{Username: "bridge", Password: "guess"}, `Authorization Violation; check username "bridge" and its password`},
		{"no password", password, Config{}, "Authorization Violation; the server wants a login: set username and password, token, nkey or creds"},
		{"token", token, Config{Token: "s3cr3t"}, ""},
		{"wrong token", token, Config{Token: "guess"}, "Authorization Violation; check token"},
		{"nkey", withNKey, Config{NKey: nkey}, ""},
		{"wrong nkey", withNKey, Config{NKey: otherNKey}, "Authorization Violation; add the public key of the nkey file to the server's users"},
		{"nkey file missing", withNKey, Config{NKey: missingFile}, "missing: no such file or directory"},
		{"nkey file without a seed", withNKey, Config{NKey: noPEM}, "write the path of a file with a user seed"},
		{"creds", op.options, Config{Creds: op.creds(t, time.Time{})}, ""},
		{"expired creds", op.options, Config{Creds: op.creds(t, past)}, "Authorization Violation; the credentials expired at "},
		{"creds of another operator", op.options, Config{Creds: otherOp.creds(t, later)}, "Authorization Violation; check that creds belongs to an account and operator that the server knows"},
		{"creds file missing", op.options, Config{Creds: missingFile}, "missing: no such file or directory; check the path"},
		{"creds file without a JWT", op.options, Config{Creds: noPEM}, "write the path of a file made by nsc generate creds"},
		{"tls", withTLS("127.0.0.1", later, false), Config{TLS: TLSConfig{CA: a.ca}}, ""},
		{"tls, insecure", withTLS("other.example.com", past, false), Config{TLS: TLSConfig{Insecure: true}}, ""},
		{"tls, unknown authority", withTLS("127.0.0.1", later, false), Config{TLS: TLSConfig{CA: other.ca}}, "; set tls.ca to the PEM file of the authority that signed the server's certificate"},
		{"tls not configured here", withTLS("127.0.0.1", later, false), Config{}, "; set tls.ca to the PEM file of the authority that signed the server's certificate"},
		{"tls, other host", withTLS("other.example.com", later, false), Config{TLS: TLSConfig{CA: a.ca}}, "; write a host name in url that the server's certificate is made out for"},
		{"tls, expired", withTLS("127.0.0.1", past, false), Config{TLS: TLSConfig{CA: a.ca}}, "; renew the server's certificate, or check this machine's clock"},
		{"tls not offered", plain, Config{TLS: TLSConfig{CA: a.ca}}, "; the server offers no TLS: remove tls and write nats:// in url, or enable TLS on the server"},
		{"tls, ca missing", plain, Config{TLS: TLSConfig{CA: missingFile}}, "tls.ca: open "},
		{"tls, ca not PEM", plain, Config{TLS: TLSConfig{CA: noPEM}}, "no certificate in PEM form"},
		{"client certificate", withTLS("127.0.0.1", later, true), Config{TLS: TLSConfig{CA: a.ca, Cert: clientCert, Key: clientKey}}, ""},
		{"no client certificate", withTLS("127.0.0.1", later, true), Config{TLS: TLSConfig{CA: a.ca}}, "; set tls.cert and tls.key to a client certificate that the server's authority signed"},
		{"foreign client certificate", withTLS("127.0.0.1", later, true), Config{TLS: TLSConfig{CA: a.ca, Cert: otherCert, Key: otherKey}}, "; set tls.cert and tls.key to a client certificate that the server's authority signed"},
		{"wrong key", plain, Config{TLS: TLSConfig{Cert: clientCert, Key: otherKey}}, "tls.key: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			srv := startServer(t, tt.server)
			tt.cfg.URL = "nats://" + srv.Addr().String()
			tt.cfg.Create = true
			sink := newSink(t, tt.cfg)
			defer func() {
				if err := sink.Close(); err != nil {
					t.Error(err)
				}
			}()
			events := sinktest.NewSource(1, 1).Take(3)
			n, err := sinktest.Prefix(t.Context(), sink, events)
			if tt.want == "" {
				if n != len(events) || err != nil {
					t.Fatalf("Deliver = %d, %v, want %d, nil", n, err, len(events))
				}
				return
			}
			if err == nil || n != 0 || sinktest.IsPermanent(err) {
				t.Fatalf("Deliver = %d, %v, want 0 and a transient error", n, err)
			}
			if text := err.Error(); !strings.Contains(text, tt.want) || strings.Contains(text, "\n") || !strings.HasPrefix(text, "connect to nats://") {
				t.Errorf("error\n got %s\nwant one line with %q", text, tt.want)
			}
		})
	}
}

// TestRotation: the next connection uses what the files hold then.
func TestRotation(t *testing.T) {
	ours, next := newAuthority(t), newAuthority(t)
	later := time.Now().Add(time.Hour)
	srv := startServer(t, func(o *server.Options) {
		o.TLS, o.TLSVerify, o.TLSTimeout = true, true, 5
		o.TLSConfig = next.serverTLS(t, "127.0.0.1", later, true)
	})
	cert, key := ours.issue(t, "virtcast", later)
	sink := newSink(t, Config{URL: "nats://" + srv.Addr().String(), Create: true, TLS: TLSConfig{CA: ours.ca, Cert: cert, Key: key}})
	defer closeSink(t, sink)
	if err := sink.Connect(t.Context()); err == nil || !strings.Contains(err.Error(), "; set tls.ca to") {
		t.Errorf("with the old authority: got %v, want that it is unknown", err)
	}
	replace := func(path, with string) {
		t.Helper()
		if err := os.Rename(with, path); err != nil {
			t.Fatal(err)
		}
	}
	replace(ours.ca, next.ca)
	if err := sink.Connect(t.Context()); err == nil || !strings.Contains(err.Error(), "; set tls.cert and tls.key to") {
		t.Errorf("with the old client certificate: got %v, want that the server refuses it", err)
	}
	newCert, newKey := next.issue(t, "virtcast", later)
	replace(cert, newCert)
	replace(key, newKey)
	if err := sink.Connect(t.Context()); err != nil {
		t.Errorf("with both replaced: %v", err)
	}
}

// TestExpiredCertificate: the server's alert rarely tells that the client's certificate
// has expired; the error does.
func TestExpiredCertificate(t *testing.T) {
	a := newAuthority(t)
	srv := startServer(t, func(o *server.Options) {
		o.TLS, o.TLSVerify, o.TLSTimeout = true, true, 5
		o.TLSConfig = a.serverTLS(t, "127.0.0.1", time.Now().Add(time.Hour), true)
	})
	cert, key := a.issue(t, "virtcast", time.Now().Add(-time.Hour))
	sink := newSink(t, Config{URL: "nats://" + srv.Addr().String(), TLS: TLSConfig{CA: a.ca, Cert: cert, Key: key}})
	defer closeSink(t, sink)
	if err := sink.Connect(t.Context()); err == nil || !strings.Contains(err.Error(), "; the certificate in tls.cert expired at ") {
		t.Errorf("got %v, want when the certificate expired", err)
	}
}

func TestConnectToNobody(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	sink := newSink(t, Config{URL: "nats://user:secret@" + addr})
	err = sink.Connect(t.Context())
	const want = "connection refused; start the server, or correct url"
	if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
		t.Errorf("Connect = %v, want an error with %q and without the password", err, want)
	}
}
