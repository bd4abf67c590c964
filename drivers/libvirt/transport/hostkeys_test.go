package transport

import (
	"crypto/rand"
	"crypto/rsa"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

func TestSSHHostKeys(t *testing.T) {
	home := sshHome(t)
	public, _ := writeKey(t, home+"/k")
	server := startSSH(t, &sshServer{exec: func(string, io.ReadWriter, io.Writer) uint32 { return 0 }}, public)
	_, port, err := net.SplitHostPort(server.address)
	if err != nil {
		t.Fatal(err)
	}
	right, other := server.hostKey.PublicKey(), newSigner(t).PublicKey()
	fingerprint := ssh.FingerprintSHA256(right)
	tests := map[string]struct {
		line  string
		query string
		want  string
	}{
		"known":   {line: knownhosts.Line([]string{server.address}, right)},
		"hashed":  {line: knownhosts.HashHostname(knownhosts.Normalize(server.address)) + " " + string(ssh.MarshalAuthorizedKey(right))},
		"unknown": {line: knownhosts.Line([]string{"elsewhere"}, right), want: "its ssh-ed25519 key is " + fingerprint},
		"the cure for unknown": {
			line: "", want: "then run ssh-keyscan -p " + port + " -t ed25519 127.0.0.1 >> " + home + "/kh",
		},
		"changed":               {line: knownhosts.Line([]string{server.address}, other), want: "someone may be listening in"},
		"changed, ignored":      {line: knownhosts.Line([]string{server.address}, other), query: "&known_hosts_verify=ignore"},
		"revoked":               {line: "@revoked * " + string(ssh.MarshalAuthorizedKey(right)), want: "is revoked"},
		"malformed known_hosts": {line: "one two three", want: "read known hosts"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			writeFile(t, home+"/kh", []byte(tc.line+"\n"))
			conn, err := Dialer{}.Dial(t.Context(), mustParse(t, "qemu+ssh://jo@"+server.address+"/system?known_hosts="+home+"/kh&keyfile="+home+"/k"+tc.query))
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
	t.Run("no file", func(t *testing.T) {
		if exists("/etc/ssh/ssh_known_hosts") {
			t.Log("the system has known hosts of its own, which come into play")
		}
		_, err := Dialer{}.Dial(t.Context(), mustParse(t, "qemu+ssh://jo@"+server.address+"/system?keyfile="+home+"/k"))
		wantError(t, err, "ssh-keyscan")
	})
}

// A host with several keys shows the one that is known.
func TestPreferKnownHostKeys(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, err := ssh.NewPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	known := []knownhosts.KnownKey{{Key: public}}
	got := prefer(known, false)
	if diff := cmp.Diff([]string{ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512}, got[:2]); diff != "" {
		t.Errorf("first algorithms for a known rsa key (-want +got):\n%s", diff)
	}
	if got := prefer(known, true); !strings.Contains(got[0], "-cert-") {
		t.Errorf("first algorithm with an authority: got %s, want a certificate's", got[0])
	}
	if got, want := len(got), len(ssh.SupportedAlgorithms().HostKeys); got != want {
		t.Errorf("got %d algorithms, want all %d", got, want)
	}
}

// TestSSHHostCertificates plays a host that has a plain key and a certificate for it,
// against every way in which known_hosts may know of either.
func TestSSHHostCertificates(t *testing.T) {
	home := sshHome(t)
	public, _ := writeKey(t, home+"/k")
	ours, theirs := newSigner(t), newSigner(t)
	start := func(authority ssh.Signer, validBefore uint64) *sshServer {
		exec := func(string, io.ReadWriter, io.Writer) uint32 { return 0 }
		return startSSH(t, &sshServer{exec: exec, authority: authority, validBefore: validBefore}, public)
	}
	server, bare := start(ours, ssh.CertTimeInfinity), start(nil, 0)
	late := start(ours, uint64(time.Now().Add(-time.Hour).Unix()))

	own := func(s *sshServer) string { return knownhosts.Line([]string{s.address}, s.hostKey.PublicKey()) + "\n" }
	authority := func(hosts string, ca ssh.Signer) string {
		return "@cert-authority " + hosts + " " + string(ssh.MarshalAuthorizedKey(ca.PublicKey()))
	}
	here := func(s *sshServer) string { return knownhosts.Normalize(s.address) }
	tests := map[string]struct {
		server *sshServer
		known  string
		want   string // in the error; "" for success
	}{
		"own key":                                 {server, own(server), ""},
		"own key, authority of other hosts":       {server, own(server) + authority("*.corp.example.com", theirs), ""},
		"own key, our authority for other hosts":  {server, authority("*.corp.example.com", ours) + own(server), ""},
		"own key, another authority for the host": {server, own(server) + authority(here(server), theirs), ""},
		"own key, a comment about authorities":    {server, "# @cert-authority\n" + own(server), ""},
		"authority":                               {server, authority(here(server), ours), ""},
		"authority, no certificate, own key":      {bare, authority(here(bare), ours) + own(bare), ""},
		"authority, no certificate":               {bare, authority(here(bare), ours), "does not vouch for the host's ssh-ed25519 key"},
		"authority for other hosts only":          {server, authority("*.corp.example.com", ours), "the host is not in " + home + "/kh"},
		"another authority":                       {server, authority(here(server), theirs), "/kh:1 does not vouch for the host's ssh-ed25519 key"},
		"authority, certificate expired":          {late, own(late) + authority(here(late), ours), "the host's certificate: ssh: cert has expired"},
		"authority revoked":                       {server, own(server) + "@revoked * " + string(ssh.MarshalAuthorizedKey(ours.PublicKey())), ""},
		"authority of the host revoked":           {server, authority(here(server), ours) + "@revoked * " + string(ssh.MarshalAuthorizedKey(ours.PublicKey())), "revoked"},
		"own key revoked":                         {server, authority(here(server), ours) + "@revoked * " + string(ssh.MarshalAuthorizedKey(server.hostKey.PublicKey())), "revoked"},
		"another own key":                         {server, knownhosts.Line([]string{server.address}, bare.hostKey.PublicKey()), "someone may be listening in; if the host's key was changed"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			writeFile(t, home+"/kh", []byte(tc.known))
			conn, err := Dialer{}.Dial(t.Context(), mustParse(t, "qemu+ssh://jo@"+tc.server.address+"/system?known_hosts="+home+"/kh&keyfile="+home+"/k"))
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

// TestVerifyCertificate holds what a host that shows a certificate, which it does where
// an authority for it is known, is judged by.
func TestVerifyCertificate(t *testing.T) {
	dir := t.TempDir()
	host, ours, theirs := newSigner(t), newSigner(t), newSigner(t)
	line := func(marker, hosts string, key ssh.Signer) string {
		return strings.TrimSpace(marker+" "+hosts) + " " + string(ssh.MarshalAuthorizedKey(key.PublicKey()))
	}
	tests := map[string]struct {
		known string
		want  string
	}{
		"its own key counts":                   {line("", "h", host), ""},
		"beside another authority for it":      {line("@cert-authority", "h", theirs) + line("", "h", host), ""},
		"not if its issuer is revoked":         {line("", "h", host) + line("@revoked", "*", ours), "revoked"},
		"not if the key in it is revoked":      {line("", "h", host) + line("@revoked", "*", host), "revoked"},
		"not a key that is another's":          {line("", "h", theirs), "key mismatch"},
		"not a key of another host":            {line("", "other", host), "key is unknown"},
		"its issuer counts":                    {line("@cert-authority", "h", ours), ""},
		"not an issuer for other hosts":        {line("@cert-authority", "other", ours), "key is unknown"},
		"not an issuer that is known as a key": {line("", "h", ours), "key mismatch"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			writeFile(t, dir+"/kh", []byte(tc.known))
			keys, err := hostKeysFor(mustParse(t, "qemu+ssh://jo@h/system?known_hosts="+dir+"/kh"))
			if err != nil {
				t.Fatal(err)
			}
			cert := &ssh.Certificate{Key: host.PublicKey(), CertType: ssh.HostCert, ValidPrincipals: []string{"h"}, ValidBefore: ssh.CertTimeInfinity}
			if err := cert.SignCert(rand.Reader, ours); err != nil {
				t.Fatal(err)
			}
			err = keys.callback("h:22", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 22}, cert)
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}
