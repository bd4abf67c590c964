package transport

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"
)

// revocations returns a list that revokes one certificate, in PEM form. change may be
// nil.
func (a *authority) revocations(serial int64, change func(*x509.RevocationList)) []byte {
	a.t.Helper()
	list := &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour),
		RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: big.NewInt(serial), RevocationTime: time.Now().Add(-time.Hour)}},
	}
	if change != nil {
		change(list)
	}
	issuer := *a.cert
	issuer.KeyUsage |= x509.KeyUsageCRLSign // to be signed although the authority may not
	der, err := x509.CreateRevocationList(rand.Reader, list, &issuer, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return encode("X509 CRL", der)
}

// newAuthorityFor is an authority with key usages of its own.
func newAuthorityFor(t *testing.T, name string, usage x509.KeyUsage) *authority {
	t.Helper()
	a := &authority{t: t}
	a.cert, a.key = a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, SubjectKeyId: []byte{1},
		KeyUsage: usage, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	})
	return a
}

// TestRevocationLists dials a server with serial number 2 past every kind of list: one
// that cannot be applied lets nobody in.
func TestRevocationLists(t *testing.T) {
	ours := newAuthority(t, "ours")
	// As libvirt's page on certificates makes it: it may sign certificates, and nothing
	// is said of lists.
	simple := newAuthorityFor(t, "simple", x509.KeyUsageCertSign)
	impostor := newAuthority(t, "ours")
	elsewhere := newAuthority(t, "elsewhere")
	extension := func(id ...int) []pkix.Extension {
		return []pkix.Extension{{Id: asn1.ObjectIdentifier(id), Critical: true, Value: []byte{0x30, 0}}}
	}
	good := ours.revocations(3, nil)
	tests := map[string]struct {
		authority *authority
		list      func(path string)
		want      string // in the error; "" for success
		hint      string
	}{
		"none":          {ours, func(string) {}, "", ""},
		"of another":    {ours, func(p string) { writeFile(t, p, good) }, "", ""},
		"of the server": {ours, func(p string) { ours.writeRevocations(p, 2) }, "the server's certificate is revoked: serial number 2", "the list is "},
		"of an authority that may sign certificates only, of another": {simple, func(p string) { simple.writeRevocations(p, 3) }, "", ""},
		"of an authority that may sign certificates only":             {simple, func(p string) { simple.writeRevocations(p, 2) }, "the server's certificate is revoked", "the list is "},
		"in the second list": {ours, func(p string) { writeFile(t, p, append(good, ours.revocations(2, nil)...)) }, "the server's certificate is revoked", "the list is "},
		"with an extension that changes nothing": {ours, func(p string) {
			writeFile(t, p, ours.revocations(3, func(l *x509.RevocationList) {
				l.ExtraExtensions = extension(1, 2, 3)
				l.ExtraExtensions[0].Critical = false
			}))
		}, "", ""},
		"a directory":       {ours, func(p string) { _ = os.Mkdir(p, 0o700) }, "is a directory", "remove the file to go without"},
		"a link to nowhere": {ours, func(p string) { _ = os.Symlink("/nowhere", p) }, "no such file", "remove the file to go without"},
		"no list":           {ours, func(p string) { writeFile(t, p, []byte("x")) }, "no list in PEM form", "remove the file to go without"},
		"empty":             {ours, func(p string) { writeFile(t, p, nil) }, "no list in PEM form", "remove the file to go without"},
		"a certificate":     {ours, func(p string) { writeFile(t, p, encode("CERTIFICATE", ours.cert.Raw)) }, "block 1 (CERTIFICATE)", "remove the file to go without"},
		"cut off":           {ours, func(p string) { writeFile(t, p, good[:len(good)/2]) }, "1 blocks begin with -----BEGIN, but 0 can be read", "complete and current list"},
		"second cut off": {ours, func(p string) {
			second := ours.revocations(2, nil)
			writeFile(t, p, append(good, second[:len(second)-30]...))
		}, "2 blocks begin with -----BEGIN, but 1 can be read", "complete and current list"},
		"expired": {ours, func(p string) {
			writeFile(t, p, ours.revocations(3, func(l *x509.RevocationList) { l.NextUpdate = time.Now().Add(-time.Minute) }))
		}, `the list of "CN=ours" was to be replaced by `, "complete and current list"},
		"from the future": {ours, func(p string) {
			writeFile(t, p, ours.revocations(3, func(l *x509.RevocationList) { l.ThisUpdate = time.Now().Add(time.Minute) }))
		}, `the list of "CN=ours" is from the future`, "complete and current list"},
		"of an authority that is not known": {ours, func(p string) { elsewhere.writeRevocations(p, 2) }, `the list of "CN=elsewhere": no authority of that name`, "complete and current list"},
		"of an impostor":                    {ours, func(p string) { impostor.writeRevocations(p, 3) }, "its signature does not fit the authority of that name", "complete and current list"},
		"a difference to another list": {ours, func(p string) {
			writeFile(t, p, ours.revocations(3, func(l *x509.RevocationList) { l.ExtraExtensions = extension(2, 5, 29, 27) }))
		}, "critical extension delta CRL indicator, which is not supported", "complete and current list"},
		"for some certificates only": {ours, func(p string) {
			writeFile(t, p, ours.revocations(3, func(l *x509.RevocationList) { l.ExtraExtensions = extension(2, 5, 29, 28) }))
		}, "critical extension issuing distribution point", "complete and current list"},
		"for another issuer's certificates": {ours, func(p string) {
			writeFile(t, p, ours.revocations(3, func(l *x509.RevocationList) {
				l.RevokedCertificateEntries[0].ExtraExtensions = extension(2, 5, 29, 29)
			}))
		}, "critical extension certificate issuer at serial number 3", "complete and current list"},
		"with an unknown extension": {ours, func(p string) {
			writeFile(t, p, ours.revocations(3, func(l *x509.RevocationList) { l.ExtraExtensions = extension(1, 2, 3) }))
		}, "critical extension 1.2.3", "complete and current list"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			tc.authority.writeCA(dir + "/cacert.pem")
			tc.authority.writePair(leaf(100), dir+"/clientcert.pem", dir+"/clientkey.pem")
			tc.list(dir + "/cacrl.pem")
			u := mustParse(t, "qemu://"+tlsDaemon(t, tc.authority.pair(leaf(2)), tc.authority, "\x01")+"/system?pkipath="+dir)
			conn, err := Dialer{}.Dial(t.Context(), u)
			if tc.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				_ = conn.Close()
				return
			}
			says(t, err, tc.want, tc.hint, dir+"/cacrl.pem")
			if errors.Is(err, errRevoked) == errors.Is(err, errRevocationList) {
				t.Errorf("got %v, want either a revoked certificate or a list that cannot be applied", err)
			}
		})
	}
}

// TestRevocationListOfAChain holds that a list of the authority in the middle, which only
// the server's chain shows, is applied, and that a revoked authority lets nobody in.
func TestRevocationListOfAChain(t *testing.T) {
	root := newAuthority(t, "root")
	middle := &authority{t: t}
	middle.cert, middle.key = root.sign(&x509.Certificate{
		SerialNumber: big.NewInt(50), Subject: pkix.Name{CommonName: "middle"}, IsCA: true, BasicConstraintsValid: true, SubjectKeyId: []byte{2},
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	})
	pair := middle.pair(leaf(2))
	pair.Certificate = append(pair.Certificate, middle.cert.Raw)
	for name, tc := range map[string]struct {
		list []byte
		want string
	}{
		"of the middle, another": {middle.revocations(3, nil), ""},
		"of the middle":          {middle.revocations(2, nil), "revoked: serial number 2"},
		"of the root, another":   {root.revocations(2, nil), ""},
		"of the root":            {root.revocations(50, nil), "revoked: serial number 50"},
		"of both":                {append(root.revocations(7, nil), middle.revocations(2, nil)...), "revoked: serial number 2"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			root.writeCA(dir + "/cacert.pem")
			root.writePair(leaf(100), dir+"/clientcert.pem", dir+"/clientkey.pem")
			writeFile(t, dir+"/cacrl.pem", tc.list)
			u := mustParse(t, "qemu://"+tlsDaemon(t, pair, root, "\x01")+"/system?pkipath="+dir)
			conn, err := Dialer{}.Dial(t.Context(), u)
			if tc.want != "" {
				wantError(t, err, tc.want)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			_ = conn.Close()
		})
	}
}

// TestUserRevocationList holds that the user's list counts beside the system's authority,
// and that the system's list counts for the user's authority where it is about that one.
func TestUserRevocationList(t *testing.T) {
	system, mine := newAuthority(t, "system"), newAuthority(t, "mine")
	tests := map[string]struct {
		daemon     *authority
		userCA     bool
		user, etc  []byte
		want, hint string
	}{
		"system's authority, user's list":             {daemon: system, user: system.revocations(2, nil), want: "is revoked", hint: "/.pki/libvirt/cacrl.pem"},
		"system's authority, user's list of another":  {daemon: system, user: mine.revocations(2, nil), want: `the list of "CN=mine"`, hint: "/.pki/libvirt/cacrl.pem"},
		"user's authority, system's list of that one": {daemon: mine, userCA: true, etc: mine.revocations(2, nil), want: "is revoked", hint: "/CA/cacrl.pem"},
		"user's authority, system's list of its own":  {daemon: mine, userCA: true, etc: system.revocations(2, nil)},
		"user's authority, user's list comes first":   {daemon: mine, userCA: true, user: mine.revocations(3, nil), etc: mine.revocations(2, nil)},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			etc, home := t.TempDir(), t.TempDir()
			t.Setenv("HOME", home)
			system.writeCA(etc + "/CA/cacert.pem")
			tc.daemon.writePair(leaf(4), home+"/.pki/libvirt/clientcert.pem", home+"/.pki/libvirt/clientkey.pem")
			if tc.userCA {
				mine.writeCA(home + "/.pki/libvirt/cacert.pem")
			}
			if tc.user != nil {
				writeFile(t, home+"/.pki/libvirt/cacrl.pem", tc.user)
			}
			if tc.etc != nil {
				writeFile(t, etc+"/CA/cacrl.pem", tc.etc)
			}
			u := mustParse(t, "qemu://"+tlsDaemon(t, tc.daemon.pair(leaf(2)), tc.daemon, "\x01")+"/system")
			conn, err := Dialer{PKIDir: etc, euid: ordinary}.Dial(t.Context(), u)
			if tc.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				_ = conn.Close()
				return
			}
			says(t, err, tc.want, tc.hint)
		})
	}
}

// TestRevocationListWithoutAnEnd holds that a list which names no successor does not
// expire.
func TestRevocationListWithoutAnEnd(t *testing.T) {
	if err := checkList(&x509.RevocationList{ThisUpdate: time.Now().AddDate(-10, 0, 0)}, time.Now()); err != nil {
		t.Error(err)
	}
}

// FuzzRevocationLists holds that no file breaks the parser, and that what it accepts is
// every block of the file.
func FuzzRevocationLists(f *testing.F) {
	f.Add([]byte("-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n"))
	f.Add([]byte("x"))
	f.Fuzz(func(t *testing.T, data []byte) {
		lists, err := parseRevocationLists(data)
		if err != nil {
			return
		}
		if got, want := len(lists), strings.Count(string(data), "-----BEGIN "); got != want || got == 0 {
			t.Fatalf("%d lists of %d blocks", got, want)
		}
		for _, list := range lists {
			_ = checkList(list, time.Now())
		}
	})
}
