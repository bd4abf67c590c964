package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/virtcast/virtcast/e2e/lab"
)

// Every way to reach a daemon either brings events, or virtcast logs why it cannot.
func TestTransports(t *testing.T) {
	lab.Require(t, "libvirtd", "sasl", "sshd")
	pki := lab.NewPKI(t)
	d := lab.Libvirtd(t, lab.Options{TCP: true, PKI: pki})
	secured := lab.Libvirtd(t, lab.Options{PKI: pki, SASL: map[string]string{"joe": "secret"}})
	ssh := lab.SSHD(t)
	sasl := func(password string) string {
		return secured.TLSURI(lab.Test, pki.Good) + "&authfile=" + lab.AuthFile(t, "127.0.0.1", "joe", password)
	}
	for _, tc := range []struct {
		name   string
		daemon *lab.Daemon
		uri    string
		// failure, if set, is in virtcast's log, and no event comes.
		failure string
	}{
		{"tcp", d, d.TCPURI(lab.Test), ""},
		{"tls", d, d.TLSURI(lab.Test, pki.Good), ""},
		{"tls-expired", d, d.TLSURI(lab.Test, pki.Expired), "expired"},
		{"tls-other-authority", d, d.TLSURI(lab.Test, pki.OtherCA), "certificate"},
		{"tls-missing", d, d.TLSURI(lab.Test, pki.Missing), "clientcert.pem"},
		{"sasl", secured, sasl("secret"), ""},
		{"sasl-wrong-password", secured, sasl("wrong"), "authentication"},
		{"ssh", d, ssh.URI(d, lab.Test), ""},
		{"ssh-unknown-host", d, strings.Replace(ssh.URI(d, lab.Test), ssh.KnownHosts, ssh.WrongHosts, 1), "host key"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.failure == "" {
				tc.daemon.Hold(t, lab.Test)
			}
			s, v := start(t, setup{connections: []connection{{tc.name, tc.uri}}})
			if tc.failure != "" {
				lab.Eventually(t, lab.Patience, func() error { return refused(v, tc.name, tc.failure) })
				return
			}
			awaitWatching(t, v, 1, tc.name)
			uuid := tc.daemon.Define(t, lab.Test, tc.name, lab.TestDomain(tc.name))
			tc.daemon.Virsh(t, lab.Test, "start", tc.name)
			s.expect(t, uuid, []string{"defined/added", "started/booted"})
			s.settle(t)
		})
	}
}

// refused returns nil once virtcast's log says that a connection has no session, and why.
func refused(v *lab.VirtcastProcess, connection, reason string) error {
	lines := logged(v, "no session, trying again", connection)
	if len(lines) == 0 {
		return fmt.Errorf("virtcast does not say that it has no session with %s", connection)
	}
	if text := lines[0].Err; !strings.Contains(text, reason) {
		return fmt.Errorf("virtcast says %q, which does not contain %q", text, reason)
	}
	return nil
}
