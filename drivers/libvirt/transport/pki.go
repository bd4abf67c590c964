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
	"time"
)

// pki is where libvirt keeps what TLS needs.
type pki struct {
	ca, crl, cert, key string
	// required: a client certificate must be there, since pkipath= was given.
	required bool
}

// locate finds the files: in pkipath= all together; else, for others than root, in
// ~/.pki/libvirt, each of authority and client certificate falling back for itself to the
// system's /etc/pki.
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
	if dir := home(); dir != "" && !d.root() {
		user := pkiIn(filepath.Join(dir, ".pki", "libvirt"))
		if exists(user.ca) {
			p.ca, p.crl = user.ca, user.crl
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
	data, err = os.ReadFile(p.crl)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read revocation list: %w", err)
	}
	lists, err := parseRevocationLists(data)
	if err != nil {
		return fmt.Errorf("revocation list %s: %w", p.crl, err)
	}
	config.VerifyConnection = func(state tls.ConnectionState) error {
		return checkRevoked(lists, state.VerifiedChains)
	}
	return nil
}

func parseRevocationLists(data []byte) ([]*x509.RevocationList, error) {
	var lists []*x509.RevocationList
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			break
		}
		data = rest
		list, err := x509.ParseRevocationList(block.Bytes)
		if err != nil {
			return nil, err
		}
		lists = append(lists, list)
	}
	if len(lists) == 0 {
		return nil, errors.New("no list in PEM form")
	}
	return lists, nil
}

// errRevoked is the reason for refusing a server whose certificate was revoked.
var errRevoked = errors.New("the server's certificate is revoked")

// checkRevoked looks up every certificate of every chain in the lists that its issuer
// signed.
func checkRevoked(lists []*x509.RevocationList, chains [][]*x509.Certificate) error {
	for _, chain := range chains {
		for i, cert := range chain[:len(chain)-1] {
			for _, list := range lists {
				if list.CheckSignatureFrom(chain[i+1]) != nil {
					continue
				}
				for _, entry := range list.RevokedCertificateEntries {
					if entry.SerialNumber.Cmp(cert.SerialNumber) == 0 {
						return fmt.Errorf("%w: serial number %s, since %s", errRevoked, entry.SerialNumber, entry.RevocationTime.Format(time.DateOnly))
					}
				}
			}
		}
	}
	return nil
}
