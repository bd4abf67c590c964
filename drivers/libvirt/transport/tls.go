package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
)

// accepted is the byte that libvirtd sends, inside TLS, to a client that it lets in. One
// that it does not let in is cut off instead. With TLS 1.3 that is the only sign: the
// client's handshake is over before the server has looked at the client's certificate.
const accepted = 0x01

var errRefused = errors.New("the daemon closed the connection instead of accepting this client")

func (d Dialer) dialTLS(ctx context.Context, u *URI) (*Conn, error) {
	files := d.locate(u)
	config, hasCert, err := files.config(u)
	if err != nil {
		return nil, u.fail("load certificates", err, pkiHint(u, err))
	}
	conn, err := d.connect(ctx, u)
	if err != nil {
		return nil, err
	}
	session := tls.Client(conn, config)
	if err := open(ctx, u, session, files, hasCert); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return &Conn{Conn: session, Kind: TLS, Encrypted: true, Via: "tls " + u.address()}, nil
}

// open shakes hands and waits for the daemon's verdict.
func open(ctx context.Context, u *URI, session *tls.Conn, files pki, hasCert bool) error {
	release := guard(ctx, session.NetConn())
	if err := session.HandshakeContext(ctx); err != nil {
		_ = release()
		return u.fail("tls handshake", err, handshakeHint(u, err, files, hasCert))
	}
	var verdict [1]byte
	_, err := io.ReadFull(session, verdict[:])
	if cause := release(); cause != nil {
		return u.fail("tls handshake", cause, "")
	}
	if errors.Is(err, io.EOF) {
		err = errRefused
	}
	if err != nil {
		return u.fail("tls handshake", err, clientHint(files, hasCert))
	}
	if verdict[0] != accepted {
		return u.fail("tls handshake", fmt.Errorf("the first byte is %#02x instead of %#02x", verdict[0], accepted), "is this really libvirt's TLS port?")
	}
	return nil
}

// revocationHint is the cure for a list that cannot be applied.
const revocationHint = "put a complete and current list of the server's authority there (and that authority's certificate into cacert.pem), or remove the file to go without"

func pkiHint(u *URI, err error) string {
	if errors.Is(err, errDates) {
		return "have the daemon's authority issue a new one, and check this machine's clock"
	}
	if errors.Is(err, errRevocationList) {
		return revocationHint
	}
	if u.PKIPath != "" {
		return "pkipath= must hold cacert.pem, clientcert.pem and clientkey.pem, all readable for this user"
	}
	return "make the certificates as libvirt's page on TLS certificates says, or name their directory with pkipath="
}

// handshakeHint explains why the handshake failed.
func handshakeHint(u *URI, err error, files pki, hasCert bool) string {
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var host x509.HostnameError
	var record tls.RecordHeaderError
	var network net.Error
	switch {
	case errors.As(err, &network) && network.Timeout():
		return ""
	case errors.As(err, &unknown):
		return "the server's certificate was not issued by the authority in " + files.ca + "; use the authority that issued it"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the server's certificate, not this client's; renew it on the host, and check both clocks"
	case errors.As(err, &invalid):
		return "the server's certificate is not fit for use; issue another one, as libvirt's page on TLS certificates says"
	case errors.As(err, &host):
		return fmt.Sprintf("use a name that the server's certificate holds, or issue another one with %q as a subject alternative name", u.host())
	case errors.Is(err, errRevoked):
		return "the list is " + files.crl
	case errors.Is(err, errRevocationList):
		return "the list is in " + files.crl + "; " + revocationHint
	case errors.As(err, &record):
		return "the port does not speak TLS; libvirt's TLS port is 16514"
	case errors.Is(err, io.EOF), errors.As(err, &network):
		return clientHint(files, hasCert)
	default:
		return ""
	}
}

// clientHint says what to look at when the daemon turned this client away.
func clientHint(files pki, hasCert bool) string {
	if !hasCert {
		return "no client certificate was sent, since " + files.cert + " does not exist; make one there, or name its directory with pkipath="
	}
	return "the client certificate was " + files.cert + "; check that the daemon's authority issued it, that it is neither expired nor revoked, and tls_allowed_dn_list; the daemon's log has the reason"
}
