package transport

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// pki is where libvirt keeps what TLS needs.
type pki struct {
	ca, crl, cert, key string
	// required: a client certificate must be there, since pkipath= was given.
	required bool
	// shared: crl is the system's and ca is the user's own, so that lists of other
	// authorities may be in it.
	shared bool
}

// locate finds the files: in pkipath= all together; else, for others than root, in
// ~/.pki/libvirt, each of authority, revocation list and client certificate falling back
// for itself to the system's /etc/pki, as in libvirt.
func (d Dialer) locate(u *URI) pki {
	if u.PKIPath != "" {
		p := pkiIn(u.PKIPath)
		p.required = true
		return p
	}
	etc := d.PKIDir
	if etc == "" {
		etc = "/etc/pki"
	}
	p := pki{
		ca:   filepath.Join(etc, "CA", "cacert.pem"),
		crl:  filepath.Join(etc, "CA", "cacrl.pem"),
		cert: filepath.Join(etc, "libvirt", "clientcert.pem"),
		key:  filepath.Join(etc, "libvirt", "private", "clientkey.pem"),
	}
	if dir := inHome(".pki", "libvirt"); dir != "" && !d.root() {
		user := pkiIn(dir)
		if exists(user.ca) {
			p.ca, p.shared = user.ca, true
		}
		if present(user.crl) {
			p.crl, p.shared = user.crl, false
		}
		if exists(user.cert) || exists(user.key) {
			p.cert, p.key = user.cert, user.key
		}
	}
	return p
}

func pkiIn(dir string) pki {
	return pki{
		ca: filepath.Join(dir, "cacert.pem"), crl: filepath.Join(dir, "cacrl.pem"),
		cert: filepath.Join(dir, "clientcert.pem"), key: filepath.Join(dir, "clientkey.pem"),
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// present reports whether something is at a path, be it a link that leads nowhere.
func present(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// errDates is the reason for not even trying a client certificate, as in libvirt.
var errDates = errors.New("the client certificate is not valid today")

// config reads the files. hasCert says whether a client certificate was found.
func (p pki) config(u *URI) (config *tls.Config, hasCert bool, err error) {
	config = &tls.Config{ServerName: u.host(), MinVersion: tls.VersionTLS12}
	if u.NoVerify {
		config.InsecureSkipVerify = true //nolint:gosec // no_verify=1 asks for exactly this
	} else if err := p.trust(config); err != nil {
		return nil, false, err
	}
	if !p.required && !exists(p.cert) && !exists(p.key) {
		return config, false, nil // The daemon may not ask for one (tls_no_verify_certificate).
	}
	pair, err := tls.LoadX509KeyPair(p.cert, p.key)
	if err != nil {
		return nil, false, fmt.Errorf("load client certificate %s with key %s: %w", p.cert, p.key, err)
	}
	now := time.Now()
	if now.After(pair.Leaf.NotAfter) {
		return nil, false, fmt.Errorf("%w: %s expired on %s", errDates, p.cert, pair.Leaf.NotAfter.Format(time.DateTime))
	}
	if now.Before(pair.Leaf.NotBefore) {
		return nil, false, fmt.Errorf("%w: %s begins on %s", errDates, p.cert, pair.Leaf.NotBefore.Format(time.DateTime))
	}
	// Send it whatever authorities the daemon names: the daemon's refusal says more than
	// silence.
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	return config, true, nil
}

// trust makes config accept only servers that the authority vouches for and that are not
// on the revocation list.
func (p pki) trust(config *tls.Config) error {
	data, err := os.ReadFile(p.ca)
	if err != nil {
		return fmt.Errorf("read certificate of the authority: %w", err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(data) {
		return fmt.Errorf("%s holds no certificate in PEM form", p.ca)
	}
	if !present(p.crl) {
		return nil
	}
	authorities := certificatesOf(data)
	lists, err := loadRevocations(p.crl, func(list *x509.RevocationList) bool {
		return !p.shared || slices.ContainsFunc(authorities, func(a *x509.Certificate) bool { return issued(a, list) })
	})
	if err != nil {
		return err
	}
	config.VerifyConnection = func(state tls.ConnectionState) error {
		return checkRevoked(lists, authorities, state.VerifiedChains)
	}
	return nil
}

// certificatesOf returns the certificates in PEM data, without those that do not parse.
func certificatesOf(data []byte) []*x509.Certificate {
	var certificates []*x509.Certificate
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			return certificates
		}
		data = rest
		if certificate, err := x509.ParseCertificate(block.Bytes); err == nil {
			certificates = append(certificates, certificate)
		}
	}
}
