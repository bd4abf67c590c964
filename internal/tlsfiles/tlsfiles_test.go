package tlsfiles

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/virtcast/virtcast/internal/fault"
	"github.com/virtcast/virtcast/internal/field"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// authority issues certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	a.cert, a.key = a.issue(t, template)
	return a
}

func (a *authority) issue(t *testing.T, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parent, parentKey := a.cert, a.key
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// leaf is a certificate for localhost, kafka.example.com and 127.0.0.1.
func leaf(name string, notAfter time.Time) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: notAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost", "kafka.example.com"},
	}
}

func write(t *testing.T, path, kind string, der []byte) string {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (a *authority) writeCA(t *testing.T, path string) string {
	t.Helper()
	return write(t, path, "CERTIFICATE", a.cert.Raw)
}

// writePair writes cert.pem and key.pem into dir.
func (a *authority) writePair(t *testing.T, dir, name string, notAfter time.Time) (cert, key string) {
	t.Helper()
	c, k := a.issue(t, leaf(name, notAfter))
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, dir+"/cert.pem", "CERTIFICATE", c.Raw), write(t, dir+"/key.pem", "PRIVATE KEY", der)
}

// server is a TLS server that tells each client the name in the client's certificate.
type server struct {
	address string
	pair    func() tls.Certificate
}

// startServer wants client certificates of the authority clients; nil means none.
func startServer(t *testing.T, a, clients *authority) *server {
	t.Helper()
	s := &server{}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = listener.Addr().String()
	s.serve(t, a)
	config := &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { pair := s.pair(); return &pair, nil },
	}
	if clients != nil {
		config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		config.ClientCAs.AddCert(clients.cert)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			greet(tls.Server(conn, config))
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-done
	})
	return s
}

// serve makes the server use a new certificate.
func (s *server) serve(t *testing.T, a *authority) {
	t.Helper()
	cert, key := a.issue(t, leaf("server", time.Now().Add(time.Hour)))
	pair := tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
	s.pair = func() tls.Certificate { return pair }
}

func greet(conn *tls.Conn) {
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if conn.Handshake() != nil {
		return
	}
	name := "nobody"
	if peers := conn.ConnectionState().PeerCertificates; len(peers) > 0 {
		name = peers[0].Subject.CommonName
	}
	_, _ = io.WriteString(conn, name)
}

// hello connects, and returns what the server says.
func hello(t *testing.T, f *Files, address, as string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	secure, err := f.Handshake(ctx, conn, as)
	if err != nil {
		return "", err
	}
	said, err := io.ReadAll(secure)
	return string(said), err
}

func TestHandshake(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	dir := t.TempDir()
	ca := ours.writeCA(t, dir+"/ca.pem")
	wrongCA := theirs.writeCA(t, dir+"/wrong.pem")
	cert, key := ours.writePair(t, dir, "client", time.Now().Add(time.Hour))
	open, closed := startServer(t, ours, nil), startServer(t, ours, ours)
	tests := map[string]struct {
		cfg    Config
		server *server
		host   string
		want   string
		kind   fault.Kind
	}{
		"authority":           {cfg: Config{CA: ca}, server: open, host: "127.0.0.1", want: "nobody"},
		"by name":             {cfg: Config{CA: ca}, server: open, host: "localhost", want: "nobody"},
		"another name":        {cfg: Config{CA: ca}, server: open, host: "127.0.0.2", kind: fault.WrongName},
		"server name":         {cfg: Config{CA: ca, ServerName: "kafka.example.com"}, server: open, host: "127.0.0.2", want: "nobody"},
		"another server name": {cfg: Config{CA: ca, ServerName: "kafka.example.org"}, server: open, host: "127.0.0.1", kind: fault.WrongName},
		"another authority":   {cfg: Config{CA: wrongCA}, server: open, host: "127.0.0.1", kind: fault.UnknownAuthority},
		"system":              {server: open, host: "127.0.0.1", kind: fault.UnknownAuthority},
		"insecure":            {cfg: Config{Insecure: true}, server: open, host: "127.0.0.2", want: "nobody"},
		"client certificate":  {cfg: Config{CA: ca, Cert: cert, Key: key}, server: closed, host: "127.0.0.1", want: "client"},
		"it is missing":       {cfg: Config{CA: ca}, server: closed, host: "127.0.0.1", kind: fault.ClientRefused},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := hello(t, New(tc.cfg, "tls"), tc.server.address, net.JoinHostPort(tc.host, "1"))
			if got != tc.want || fault.KindOf(err) != tc.kind {
				t.Errorf("got %q, %v (kind %d), want %q, kind %d", got, err, fault.KindOf(err), tc.want, tc.kind)
			}
		})
	}
}

// TestRotation: files that are replaced count for the next connection, in both
// directions.
func TestRotation(t *testing.T) {
	ours, next := newAuthority(t), newAuthority(t)
	dir := t.TempDir()
	cfg := Config{CA: ours.writeCA(t, dir+"/ca.pem")}
	cfg.Cert, cfg.Key = ours.writePair(t, dir, "first", time.Now().Add(time.Hour))
	s := startServer(t, ours, ours)
	f := New(cfg, "tls")
	library, err := f.Client("127.0.0.1") // As kept by a library that connects again by itself.
	if err != nil {
		t.Fatal(err)
	}
	want := func(name string) {
		t.Helper()
		if got, err := hello(t, f, s.address, s.address); got != name || err != nil {
			t.Errorf("got %q, %v, want %q", got, err, name)
		}
	}
	want("first")
	before, err := f.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := f.Certificate(); again != before || err != nil {
		t.Error("files that have not changed are parsed again")
	}
	ours.writePair(t, dir, "second", time.Now().Add(time.Hour))
	want("second")
	if pair, err := library.GetClientCertificate(nil); err != nil || pair.Leaf.Subject.CommonName != "second" {
		t.Errorf("a configuration that is kept gives %v, want the second certificate", err)
	}

	s.serve(t, next)
	if _, err := hello(t, f, s.address, s.address); fault.KindOf(err) != fault.UnknownAuthority {
		t.Errorf("got %v, want an unknown authority", err)
	}
	next.writeCA(t, cfg.CA)
	want("second")

	// While only one of the two files is replaced, the pair does not fit; it heals by
	// itself.
	key, err := os.ReadFile(cfg.Key)
	if err != nil {
		t.Fatal(err)
	}
	ours.writePair(t, dir, "third", time.Now().Add(time.Hour))
	newKey, err := os.ReadFile(cfg.Key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cfg.Key, key, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := hello(t, f, s.address, s.address); err == nil || !strings.Contains(err.Error(), "do not fit together") {
		t.Errorf("got %v, want that the files do not fit together", err)
	}
	if err := os.WriteFile(cfg.Key, newKey, 0o600); err != nil {
		t.Fatal(err)
	}
	want("third")
}

func TestExpired(t *testing.T) {
	ours := newAuthority(t)
	dir := t.TempDir()
	cfg := Config{}
	end := time.Now().Add(-time.Hour).Truncate(time.Second)
	cfg.Cert, cfg.Key = ours.writePair(t, dir, "client", end)
	f := New(cfg, "tls")
	if _, expired := f.Expired(); expired {
		t.Error("a certificate that was not read has expired")
	}
	if _, err := f.Client("a"); err != nil {
		t.Fatal(err)
	}
	if at, expired := f.Expired(); !expired || !at.Equal(end) {
		t.Errorf("got %v, %t, want %v, true", at, expired, end)
	}
	ours.writePair(t, dir, "client", time.Now().Add(time.Hour))
	if _, err := f.Client("a"); err != nil {
		t.Fatal(err)
	}
	if at, expired := f.Expired(); expired {
		t.Errorf("a valid certificate has expired at %v", at)
	}
}

// TestEncryptedKeys: openssl 3 has encrypted the same key in several ways.
func TestEncryptedKeys(t *testing.T) {
	plain, err := os.ReadFile("testdata/plain.pem")
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(plain)
	want, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct{ password, err string }{
		"plain.pem":               {"", ""},
		"plain.pem, password":     {"secret", ""},
		"legacy.pem":              {"secret", ""},
		"legacy.pem, wrong":       {"Secret", "does not decrypt"},
		"legacy.pem, none":        {"", "the key is encrypted"},
		"pkcs8-default.pem":       {"secret", ""},
		"pkcs8-default.pem, none": {"", "the key is encrypted"},
		"pkcs8-default.pem, long": {strings.Repeat("x", 1000), "does not decrypt"},
		"pkcs8-aes128-sha1.pem":   {"secret", ""},
		"pkcs8-aes192-sha512.pem": {"secret", ""},
		"pkcs8-des3.pem":          {"secret", ""},
		"pkcs8-scrypt.pem":        {"secret", "stretched in an unknown way (1.3.6.1.4.1.11591.4.11)"},
		"pkcs8-camellia.pem":      {"secret", "an unknown cipher (1.2.392.200011.61.1.1.1.4)"},
		"pkcs8-v1.pem":            {"secret", "an unknown scheme (1.2.840.113549.1.12.1.3)"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			file, _, _ := strings.Cut(name, ",")
			data, err := os.ReadFile("testdata/" + file)
			if err != nil {
				t.Fatal(err)
			}
			got, err := decryptKey(data, tc.password)
			if tc.err != "" || err != nil {
				if err == nil || tc.err == "" || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("got error %v, want %q", err, tc.err)
				}
				return
			}
			block, _ := pem.Decode(got)
			var key any
			if key, err = x509.ParsePKCS8PrivateKey(block.Bytes); err != nil {
				key, err = x509.ParseECPrivateKey(block.Bytes)
			}
			if err != nil || !want.(*ecdsa.PrivateKey).Equal(key) {
				t.Errorf("got another key, or %v", err)
			}
		})
	}
}

// FuzzDecryptKey: no key file crashes, hangs, or yields what is no key.
func FuzzDecryptKey(f *testing.F) {
	files, err := filepath.Glob("testdata/*.pem")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		block, _ := pem.Decode(data)
		f.Add(block.Bytes, "secret")
	}
	f.Fuzz(func(t *testing.T, der []byte, password string) {
		got, err := decryptPKCS8(der, password)
		if err != nil {
			return
		}
		if _, err := x509.ParsePKCS8PrivateKey(got); err != nil {
			t.Errorf("got what is no key: %v", err)
		}
	})
}

func TestBadFiles(t *testing.T) {
	ours := newAuthority(t)
	dir := t.TempDir()
	ca := ours.writeCA(t, dir+"/ca.pem")
	cert, key := ours.writePair(t, dir, "client", time.Now().Add(time.Hour))
	other := filepath.Join(dir, "other")
	if err := os.Mkdir(other, 0o700); err != nil {
		t.Fatal(err)
	}
	_, otherKey := ours.writePair(t, other, "other", time.Now().Add(time.Hour))
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		cfg  Config
		want string // with DIR for dir
	}{
		"good":          {Config{CA: ca, Cert: cert, Key: key}, ""},
		"ca missing":    {Config{CA: dir + "/no.pem"}, "tls.ca: open DIR/no.pem: no such file or directory; check the path"},
		"ca directory":  {Config{CA: dir}, "tls.ca: read DIR: is a directory; write the path of a file, not of a directory"},
		"ca text":       {Config{CA: text}, "tls.ca: DIR/text holds no certificate in PEM form; write the path of a file that has BEGIN CERTIFICATE in it"},
		"cert missing":  {Config{Cert: dir + "/no.pem", Key: key}, "tls.cert: open DIR/no.pem: no such file or directory; check the path"},
		"cert text":     {Config{Cert: text, Key: key}, "tls.cert: DIR/text holds no certificate in PEM form; write the path of a file that has BEGIN CERTIFICATE in it"},
		"cert is a key": {Config{Cert: key, Key: key}, "tls.cert: DIR/key.pem holds no certificate in PEM form; write the path of a file that has BEGIN CERTIFICATE in it"},
		"key missing":   {Config{Cert: cert, Key: dir + "/no.pem"}, "tls.key: open DIR/no.pem: no such file or directory; check the path"},
		"key is a cert": {Config{Cert: cert, Key: cert}, "tls.key: DIR/cert.pem: no private key in PEM form; write the path of a file that has BEGIN … PRIVATE KEY in it"},
		"another key":   {Config{Cert: cert, Key: otherKey}, "tls.key: DIR/cert.pem and DIR/other/key.pem do not fit together: private key does not match public key; write the paths of a certificate and of its own key"},
		"no password":   {Config{Cert: cert, Key: "testdata/legacy.pem"}, "tls.key_password: testdata/legacy.pem: the key is encrypted; add key_password, or decrypt the key: openssl pkey -in KEY -out NEWKEY"},
		"password":      {Config{Cert: cert, Key: "testdata/legacy.pem", KeyPassword: "x"}, "tls.key_password: testdata/legacy.pem: the password does not decrypt the key; write the password that the key was encrypted with"},
		"other cipher": {
			Config{Cert: cert, Key: "testdata/pkcs8-camellia.pem", KeyPassword: "secret"},
			"tls.key: testdata/pkcs8-camellia.pem: it is encrypted with an unknown cipher (1.2.392.200011.61.1.1.1.4); encrypt it in another way: openssl pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA256 -in KEY -out NEWKEY",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := New(tc.cfg, "tls").Client("a")
			got := ""
			if err != nil {
				got = strings.ReplaceAll(err.Error(), dir, "DIR")
				if !fault.Hinted(err) {
					t.Errorf("%v has no hint of its own", err)
				}
			}
			if got != tc.want {
				t.Errorf("got error %q, want %q", got, tc.want)
			}
			var f field.Faults
			tc.cfg.Check(&f, "tls")
			if got := f.Err(); (got != nil) != (tc.want != "") || got != nil && strings.ReplaceAll(got.Error(), dir, "DIR") != tc.want {
				t.Errorf("Check: got %v, want %q", got, tc.want)
			}
		})
	}
	var f field.Faults
	Config{CA: text, Cert: text, Key: key}.Check(&f, "tls")
	if faults, _ := field.All(f.Err()); len(faults) != 2 {
		t.Errorf("two bad files are %d faults: %v", len(faults), f.Err())
	}
	if os.Geteuid() != 0 {
		if err := os.Chmod(ca, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := New(Config{CA: ca}, "tls").Roots(); !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), "let this user read the file") {
			t.Errorf("got %v, want the permission and the hint", err)
		}
	}
}

func TestValidate(t *testing.T) {
	tests := map[string]struct {
		cfg  Config
		want string
	}{
		"zero":              {Config{}, ""},
		"all":               {Config{CA: "a", Cert: "b", Key: "c", KeyPassword: "d", ServerName: "e"}, ""},
		"cert only":         {Config{Cert: "b"}, "tls: cert and key belong together; give both or neither"},
		"key only":          {Config{Key: "b"}, "tls: cert and key belong together; give both or neither"},
		"password only":     {Config{KeyPassword: "b"}, "tls.key_password: there is no key to decrypt; add key and cert, or remove key_password"},
		"insecure and a ca": {Config{CA: "a", Insecure: true}, "tls.insecure: insecure accepts any certificate, so ca would have no effect; remove insecure, or ca"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var f field.Faults
			tc.cfg.Validate(&f, "tls")
			got := ""
			if err := f.Err(); err != nil {
				got = err.Error()
			}
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
