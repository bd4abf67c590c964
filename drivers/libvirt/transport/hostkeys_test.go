package transport

import (
	"io"
	"net"
	"strings"
	"testing"

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
	got := prefer([]string{ssh.KeyAlgoRSA}, false)
	if diff := cmp.Diff([]string{ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512}, got[:2]); diff != "" {
		t.Errorf("first algorithms for a known rsa key (-want +got):\n%s", diff)
	}
	if got := prefer([]string{ssh.KeyAlgoRSA}, true); !strings.Contains(got[0], "-cert-") {
		t.Errorf("first algorithm with an authority: got %s, want a certificate's", got[0])
	}
	if got, want := len(got), len(ssh.SupportedAlgorithms().HostKeys); got != want {
		t.Errorf("got %d algorithms, want all %d", got, want)
	}
}
