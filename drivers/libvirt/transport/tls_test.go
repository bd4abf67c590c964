package transport

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
)

// authority issues certificates for tests.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	a.cert, a.key = a.sign(template)
	return a
}

// sign issues a certificate; the first one signs itself.
func (a *authority) sign(template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	parent, parentKey := a.cert, a.key
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

// leaf is a certificate for 127.0.0.1, localhost and both purposes.
func leaf(serial int64) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "leaf"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
	}
}

func expired(c *x509.Certificate) *x509.Certificate {
	c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	return c
}

func (a *authority) pair(template *x509.Certificate) tls.Certificate {
	cert, key := a.sign(template)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

func writeFile(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func (a *authority) writeCA(path string) {
	a.t.Helper()
	writeFile(a.t, path, encode("CERTIFICATE", a.cert.Raw))
}

func (a *authority) writePair(template *x509.Certificate, certPath, keyPath string) {
	a.t.Helper()
	cert, key := a.sign(template)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	writeFile(a.t, certPath, encode("CERTIFICATE", cert.Raw))
	writeFile(a.t, keyPath, encode("PRIVATE KEY", der))
}

// tlsDaemon is a server that does as libvirtd: it looks at the client's certificate after
// the handshake, and then sends the verdict and "hello", or hangs up.
func tlsDaemon(t *testing.T, server tls.Certificate, clients *authority, verdict string) string {
	t.Helper()
	config := &tls.Config{Certificates: []tls.Certificate{server}, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(clients.cert)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serveTLS(tls.Server(conn, config), pool, verdict)
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-done
	})
	return listener.Addr().String()
}

func serveTLS(conn *tls.Conn, pool *x509.CertPool, verdict string) {
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if conn.Handshake() != nil {
		return
	}
	peer := conn.ConnectionState().PeerCertificates
	if len(peer) == 0 {
		return
	}
	if _, err := peer[0].Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		return
	}
	if verdict == "" {
		_, _ = io.Copy(io.Discard, conn) // Says nothing until the client gives up.
		return
	}
	_, _ = io.WriteString(conn, verdict+"hello")
	_, _ = io.Copy(io.Discard, conn)
}

func TestDialTLS(t *testing.T) {
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	good := ours.pair(leaf(2))
	noSAN := leaf(3)
	noSAN.IPAddresses, noSAN.DNSNames, noSAN.Subject.CommonName = nil, nil, "127.0.0.1"
	tests := map[string]struct {
		server  tls.Certificate
		client  func(dir string)
		verdict string
		host    string
		query   string
		want    string // in the error; "" for success
	}{
		"good":                 {server: good, verdict: "\x01"},
		"good, by name":        {server: good, verdict: "\x01", host: "localhost"},
		"server expired":       {server: ours.pair(expired(leaf(4))), verdict: "\x01", want: "the server's certificate, not this client's; renew it"},
		"server unknown":       {server: theirs.pair(leaf(5)), verdict: "\x01", want: "was not issued by the authority in"},
		"server for another":   {server: ours.pair(noSAN), verdict: "\x01", want: `issue another one with "127.0.0.1" as a subject alternative name`},
		"unknown, not checked": {server: theirs.pair(leaf(5)), verdict: "\x01", query: "&no_verify=1"},
		"client of another authority": {
			server: good, verdict: "\x01", want: "accepting this client; the client certificate was ",
			client: func(dir string) { theirs.writePair(leaf(6), dir+"/clientcert.pem", dir+"/clientkey.pem") },
		},
		"client expired": {
			server: good, verdict: "\x01", want: "clientcert.pem expired on ",
			client: func(dir string) {
				ours.writePair(expired(leaf(7)), dir+"/clientcert.pem", dir+"/clientkey.pem")
			},
		},
		"client key missing": {
			server: good, verdict: "\x01", want: "pkipath= must hold cacert.pem, clientcert.pem and clientkey.pem",
			client: func(dir string) { _ = os.Remove(dir + "/clientkey.pem") },
		},
		"authority missing": {
			server: good, verdict: "\x01", want: "read certificate of the authority: open ",
			client: func(dir string) { _ = os.Remove(dir + "/cacert.pem") },
		},
		"authority is no certificate": {
			server: good, verdict: "\x01", want: "cacert.pem holds no certificate in PEM form",
			client: func(dir string) { writeFile(t, dir+"/cacert.pem", []byte("x")) },
		},
		"server revoked": {
			server: good, verdict: "\x01", want: "the server's certificate is revoked: serial number 2",
			client: func(dir string) { ours.writeRevocations(dir+"/cacrl.pem", 2) },
		},
		"other server revoked": {
			server: good, verdict: "\x01",
			client: func(dir string) { ours.writeRevocations(dir+"/cacrl.pem", 3) },
		},
		"other verdict": {server: good, verdict: "\x00", want: "the first byte is 0x00 instead of 0x01; is this really"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			ours.writeCA(dir + "/cacert.pem")
			ours.writePair(leaf(100), dir+"/clientcert.pem", dir+"/clientkey.pem")
			if tc.client != nil {
				tc.client(dir)
			}
			address := tlsDaemon(t, tc.server, ours, tc.verdict)
			if tc.host != "" {
				address = strings.Replace(address, "127.0.0.1", tc.host, 1)
			}
			u := mustParse(t, "qemu://"+address+"/system?pkipath="+dir+tc.query)
			conn, err := Dialer{}.Dial(t.Context(), u)
			if tc.want != "" {
				wantError(t, err, tc.want)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			var hello [5]byte
			if _, err := io.ReadFull(conn, hello[:]); err != nil || string(hello[:]) != "hello" {
				t.Errorf("after the verdict: got %q, %v, want hello", hello, err)
			}
			if conn.Kind != TLS || !conn.Encrypted || conn.Verified != (tc.query == "") {
				t.Errorf("got %s, encrypted %v, verified %v", conn.Kind, conn.Encrypted, conn.Verified)
			}
		})
	}
}

func wantError(t *testing.T, err error, want string) {
	t.Helper()
	var failed *Error
	if !errors.As(err, &failed) {
		t.Fatalf("got %v, want an *Error that says %q", err, want)
	}
	if !strings.Contains(err.Error(), want) {
		t.Errorf("got %q, want it to say %q", err, want)
	}
}

func (a *authority) writeRevocations(path string, serial int64) {
	a.t.Helper()
	writeFile(a.t, path, a.revocations(serial, nil))
}

// Without a client certificate in the system's directory, libvirt tries without one. So
// do we, and say so when the daemon wants one.
func TestDialTLSWithoutClientCertificate(t *testing.T) {
	ours := newAuthority(t, "ours")
	etc := t.TempDir()
	ours.writeCA(etc + "/CA/cacert.pem")
	u := mustParse(t, "qemu://"+tlsDaemon(t, ours.pair(leaf(2)), ours, "\x01")+"/system")
	_, err := Dialer{PKIDir: etc, euid: root}.Dial(t.Context(), u)
	wantError(t, err, "no client certificate was sent, since "+etc+"/libvirt/clientcert.pem does not exist")
	if !errors.Is(err, errRefused) {
		t.Errorf("got %v, want errRefused", err)
	}
}

// The user's own files come first, authority and client certificate each for itself, but
// not for root.
func TestUserPKI(t *testing.T) {
	system, mine := newAuthority(t, "system"), newAuthority(t, "mine")
	etc, home := t.TempDir(), t.TempDir()
	t.Setenv("HOME", home)
	system.writeCA(etc + "/CA/cacert.pem")
	system.writePair(leaf(2), etc+"/libvirt/clientcert.pem", etc+"/libvirt/private/clientkey.pem")
	u := mustParse(t, "qemu://"+tlsDaemon(t, system.pair(leaf(3)), mine, "\x01")+"/system")

	_, err := Dialer{PKIDir: etc, euid: ordinary}.Dial(t.Context(), u)
	wantError(t, err, "the client certificate was "+etc+"/libvirt/clientcert.pem")

	mine.writePair(leaf(4), home+"/.pki/libvirt/clientcert.pem", home+"/.pki/libvirt/clientkey.pem")
	conn, err := Dialer{PKIDir: etc, euid: ordinary}.Dial(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()

	_, err = Dialer{PKIDir: etc, euid: root}.Dial(t.Context(), u)
	wantError(t, err, "the client certificate was "+etc+"/libvirt/clientcert.pem")

	mine.writeCA(home + "/.pki/libvirt/cacert.pem")
	_, err = Dialer{PKIDir: etc, euid: ordinary}.Dial(t.Context(), u)
	wantError(t, err, "was not issued by the authority in "+home+"/.pki/libvirt/cacert.pem")
}

// A daemon that refuses during the handshake, as TLS 1.2 allows, is explained too.
func TestDialTLSRefusedInHandshake(t *testing.T) {
	ours := newAuthority(t, "ours")
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			etc := t.TempDir()
			ours.writeCA(etc + "/CA/cacert.pem")
			config := &tls.Config{Certificates: []tls.Certificate{ours.pair(leaf(2))}, ClientAuth: tls.RequireAnyClientCert, MaxVersion: version, MinVersion: version}
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				if conn, err := listener.Accept(); err == nil {
					_ = tls.Server(conn, config).Handshake()
					_ = conn.Close()
				}
			}()
			_, err = Dialer{PKIDir: etc, euid: root}.Dial(t.Context(), mustParse(t, "qemu://"+listener.Addr().String()+"/system"))
			wantError(t, err, "no client certificate was sent")
			<-done
			_ = listener.Close()
		})
	}
}

func TestDialTLSHonoursContext(t *testing.T) {
	ours := newAuthority(t, "ours")
	dir := t.TempDir()
	ours.writeCA(dir + "/cacert.pem")
	ours.writePair(leaf(100), dir+"/clientcert.pem", dir+"/clientkey.pem")
	silent, err := net.Listen("tcp", "127.0.0.1:0") // Accepts in the kernel and never answers.
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	for name, address := range map[string]string{
		"in the handshake": silent.Addr().String(), "before the verdict": tlsDaemon(t, ours.pair(leaf(2)), ours, ""),
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			_, err := Dialer{}.Dial(ctx, mustParse(t, "qemu://"+address+"/system?pkipath="+dir))
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, want the context's error", err)
			}
			wantError(t, err, "qemu+tls://"+address+"/system")
		})
	}
}

func TestDialTLSOnAPlainPort(t *testing.T) {
	ours := newAuthority(t, "ours")
	dir := t.TempDir()
	ours.writeCA(dir + "/cacert.pem")
	ours.writePair(leaf(100), dir+"/clientcert.pem", dir+"/clientkey.pem")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if conn, err := listener.Accept(); err == nil {
			_, _ = io.WriteString(conn, "SSH-2.0-x\r\n")
			_, _ = io.Copy(io.Discard, conn)
			_ = conn.Close()
		}
	}()
	_, err = Dialer{}.Dial(t.Context(), mustParse(t, "qemu://"+listener.Addr().String()+"/system?pkipath="+dir))
	wantError(t, err, "the port does not speak TLS; libvirt's TLS port is 16514")
	<-done
	_ = listener.Close()
}
