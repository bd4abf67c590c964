package lab

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// PKI is a certificate authority, a server certificate for localhost, 127.0.0.1 and
// ::1, and client certificates, all of them in files with libvirt's names.
type PKI struct {
	// Dir has cacert.pem, servercert.pem and serverkey.pem.
	Dir string
	// Good, Expired and OtherCA are directories for pkipath=, each with cacert.pem,
	// clientcert.pem and clientkey.pem: a valid client certificate, one that has expired,
	// and one of an authority that the server does not know.
	Good, Expired, OtherCA string
	// Missing has cacert.pem only: a client without a certificate.
	Missing string
}

// authority is a certificate that signs others.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// NewPKI makes a PKI in a temporary directory.
func NewPKI(t testing.TB) *PKI {
	t.Helper()
	dir := tempDir(t, "pki")
	if err := os.Chmod(dir, 0o755); err != nil { // a session daemon runs as another user
		t.Fatalf("lab: %v", err)
	}
	p := &PKI{
		Dir: dir, Good: filepath.Join(dir, "good"), Expired: filepath.Join(dir, "expired"),
		OtherCA: filepath.Join(dir, "other"), Missing: filepath.Join(dir, "missing"),
	}
	ca, other := newAuthority(t, "lab authority"), newAuthority(t, "another authority")
	now := time.Now()
	server := ca.issue(t, "localhost", x509.ExtKeyUsageServerAuth, now.Add(24*time.Hour))
	writePEM(t, dir, "cacert.pem", "CERTIFICATE", ca.cert.Raw)
	server.write(t, dir, "server")
	for sub, client := range map[string]*authority{
		p.Good:    ca.issue(t, "good client", x509.ExtKeyUsageClientAuth, now.Add(24*time.Hour)),
		p.Expired: ca.issue(t, "expired client", x509.ExtKeyUsageClientAuth, now.Add(-time.Hour)),
		p.OtherCA: other.issue(t, "client of another authority", x509.ExtKeyUsageClientAuth, now.Add(24*time.Hour)),
		p.Missing: nil,
	} {
		if err := os.Mkdir(sub, 0o755); err != nil {
			t.Fatalf("lab: %v", err)
		}
		writePEM(t, sub, "cacert.pem", "CERTIFICATE", ca.cert.Raw)
		if client != nil {
			client.write(t, sub, "client")
		}
	}
	return p
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	template := certificate(t, name, time.Now().Add(24*time.Hour))
	template.IsCA = true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	key := newKey(t)
	return &authority{cert: sign(t, template, template, key, key), key: key}
}

// issue returns a certificate for name that a signs, with its key.
func (a *authority) issue(t testing.TB, name string, usage x509.ExtKeyUsage, notAfter time.Time) *authority {
	t.Helper()
	template := certificate(t, name, notAfter)
	template.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment
	template.ExtKeyUsage = []x509.ExtKeyUsage{usage}
	if usage == x509.ExtKeyUsageServerAuth {
		template.DNSNames = []string{"localhost"}
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	}
	key := newKey(t)
	return &authority{cert: sign(t, template, a.cert, key, a.key), key: key}
}

// write writes the certificate and its key as <role>cert.pem and <role>key.pem.
func (a *authority) write(t testing.TB, dir, role string) {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	writePEM(t, dir, role+"cert.pem", "CERTIFICATE", a.cert.Raw)
	writePEM(t, dir, role+"key.pem", "PRIVATE KEY", key)
}

func certificate(t testing.TB, name string, notAfter time.Time) *x509.Certificate {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: notAfter, BasicConstraintsValid: true,
	}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	return key
}

func sign(t testing.TB, template, parent *x509.Certificate, key, parentKey crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	return cert
}

// writePEM writes a file that everybody may read: the keys are worth nothing.
func writePEM(t testing.TB, dir, name, kind string, der []byte) {
	t.Helper()
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
		t.Fatalf("lab: %v", err)
	}
}
