package transport

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

var (
	// errRevoked is the reason for refusing a server whose certificate was revoked.
	errRevoked = errors.New("the server's certificate is revoked")
	// errRevocationList is the reason for refusing every server because a revocation list
	// cannot be applied. An operator who put one there means it: a list that is left out
	// silently lets in what it was to keep out.
	errRevocationList = errors.New("the revocation list cannot be applied")
)

// loadRevocations reads those revocation lists of a file that concern us, and holds that
// each can be applied in full.
func loadRevocations(path string, concerns func(*x509.RevocationList) bool) ([]*x509.RevocationList, error) {
	data, err := os.ReadFile(path) //nolint:gosec // the operator names the directory
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errRevocationList, err)
	}
	lists, err := parseRevocationLists(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", errRevocationList, path, err)
	}
	lists = slices.DeleteFunc(lists, func(list *x509.RevocationList) bool { return !concerns(list) })
	now := time.Now()
	for _, list := range lists {
		if err := checkList(list, now); err != nil {
			return nil, fmt.Errorf("%w: %s: the list of %s %w", errRevocationList, path, nameOf(list.Issuer), err)
		}
	}
	return lists, nil
}

func parseRevocationLists(data []byte) ([]*x509.RevocationList, error) {
	var lists []*x509.RevocationList
	// Decode passes over blocks that are malformed, which must not go unseen.
	begun := bytes.Count(data, []byte("-----BEGIN "))
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			break
		}
		data = rest
		list, err := x509.ParseRevocationList(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("block %d (%s): %w", len(lists)+1, block.Type, err)
		}
		lists = append(lists, list)
	}
	switch {
	case begun == 0:
		return nil, errors.New("no list in PEM form")
	case len(lists) != begun:
		return nil, fmt.Errorf("%d blocks begin with -----BEGIN, but %d can be read", begun, len(lists))
	}
	return lists, nil
}

// checkList holds that a list is current and that we understand all of it. Its signature
// is checked when the chain of the server is known.
func checkList(list *x509.RevocationList, now time.Time) error {
	if !list.NextUpdate.IsZero() && now.After(list.NextUpdate) {
		return fmt.Errorf("was to be replaced by %s", list.NextUpdate.Format(time.DateTime))
	}
	if now.Before(list.ThisUpdate) {
		return fmt.Errorf("is from the future, %s", list.ThisUpdate.Format(time.DateTime))
	}
	// A critical extension changes what the list means: it is a difference to another
	// one, covers some certificates only, or names other issuers (RFC 5280, sections 5.2
	// and 5.3).
	if extension := critical(list.Extensions); extension != "" {
		return fmt.Errorf("has the critical extension %s, which is not supported", extension)
	}
	for _, entry := range list.RevokedCertificateEntries {
		if extension := critical(entry.Extensions); extension != "" {
			return fmt.Errorf("has the critical extension %s at serial number %s, which is not supported", extension, entry.SerialNumber)
		}
	}
	return nil
}

// critical returns the first critical extension, or "".
func critical(extensions []pkix.Extension) string {
	for _, extension := range extensions {
		if !extension.Critical {
			continue
		}
		switch id := extension.Id.String(); id {
		case "2.5.29.27":
			return "delta CRL indicator"
		case "2.5.29.28":
			return "issuing distribution point"
		case "2.5.29.29":
			return "certificate issuer"
		default:
			return id
		}
	}
	return ""
}

// checkRevoked looks up every certificate of every chain in the lists. Each list must be
// signed by an authority of ours, or by one in a chain.
func checkRevoked(lists []*x509.RevocationList, authorities []*x509.Certificate, chains [][]*x509.Certificate) error {
	for _, list := range lists {
		if err := checkIssuer(list, authorities, chains); err != nil {
			return err
		}
	}
	for _, chain := range chains {
		for _, cert := range chain {
			if err := lookUp(lists, cert); err != nil {
				return err
			}
		}
	}
	return nil
}

// lookUp looks for a certificate in the lists of its issuer.
func lookUp(lists []*x509.RevocationList, cert *x509.Certificate) error {
	for _, list := range lists {
		if !bytes.Equal(list.RawIssuer, cert.RawIssuer) {
			continue
		}
		for _, entry := range list.RevokedCertificateEntries {
			if entry.SerialNumber.Cmp(cert.SerialNumber) == 0 {
				return fmt.Errorf("%w: serial number %s, since %s", errRevoked, entry.SerialNumber, entry.RevocationTime.Format(time.DateOnly))
			}
		}
	}
	return nil
}

// checkIssuer holds that an authority that is trusted signed the list: one of ours, or
// one in a chain above the server's own certificate. Authorities that libvirt's page on
// certificates makes may sign certificates only; libvirt applies their lists all the
// same, and so do we.
func checkIssuer(list *x509.RevocationList, authorities []*x509.Certificate, chains [][]*x509.Certificate) error {
	candidates := slices.Clone(authorities)
	for _, chain := range chains {
		candidates = append(candidates, chain[1:]...)
	}
	reason := errors.New("no authority of that name vouches for this server or is in cacert.pem")
	for _, authority := range candidates {
		if !issued(authority, list) {
			continue
		}
		err := authority.CheckSignature(list.SignatureAlgorithm, list.RawTBSRevocationList, list.Signature)
		if err == nil {
			return nil
		}
		reason = fmt.Errorf("its signature does not fit the authority of that name: %w", err)
	}
	return fmt.Errorf("%w: the list of %s: %w", errRevocationList, nameOf(list.Issuer), reason)
}

// issued reports whether a list names an authority as its issuer.
func issued(authority *x509.Certificate, list *x509.RevocationList) bool {
	return bytes.Equal(authority.RawSubject, list.RawIssuer)
}

// nameOf returns an issuer's name for a message.
func nameOf(name pkix.Name) string { return fmt.Sprintf("%q", name.String()) }
