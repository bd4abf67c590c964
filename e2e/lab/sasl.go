package lab

import (
	"os"
	"strings"
	"testing"
)

// addSASLUsers writes the daemon's password database. The realm is the host name that the
// daemon itself sees, as libvirtd expects it.
func (d *Daemon) addSASLUsers(t testing.TB, users map[string]string) {
	t.Helper()
	if len(users) == 0 {
		return
	}
	Require(t, "sasl")
	db := d.path("sasl.db")
	for user, password := range users {
		cmd, err := d.command(bounded, "saslpasswd2", "-p", "-c", "-a", "libvirt", "-u", d.Hostname, "-f", db, user)
		if err != nil {
			t.Fatalf("lab: %v", err)
		}
		cmd.Stdin = strings.NewReader(password)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("lab: saslpasswd2: %v: %s", err, out)
		}
	}
	if err := os.Chmod(db, 0o644); err != nil {
		t.Fatalf("lab: %v", err)
	}
}

// AuthFile writes a client authentication file in libvirt's format, for authfile= in a
// URI, with one user's credentials for the daemon at host, and returns its path.
func AuthFile(t testing.TB, host, user, password string) string {
	t.Helper()
	file := t.TempDir() + "/auth.conf"
	text := strings.Join([]string{
		"[credentials-lab]", "authname=" + user, "password=" + password, "",
		"[auth-libvirt-" + host + "]", "credentials=lab", "",
	}, "\n")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatalf("lab: %v", err)
	}
	return file
}
