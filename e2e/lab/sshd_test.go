package lab_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/virtcast/virtcast/e2e/lab"
)

func TestSSHD(t *testing.T) {
	lab.Require(t, "libvirtd", "sshd")
	d := lab.Libvirtd(t, lab.Options{})
	s := lab.SSHD(t)
	// virsh runs ssh, which finds known hosts by its own options only.
	ssh := filepath.Join(t.TempDir(), "ssh")
	script := "#!/bin/sh\nexec ssh -o UserKnownHostsFile=" + s.KnownHosts + " \"$@\"\n"
	if err := os.WriteFile(ssh, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	if got, want := lab.Virsh(t, s.URI(d, lab.Test)+"&command="+ssh, "hostname"), d.Hostname; got != want {
		t.Errorf("got host name %q through ssh, want %q", got, want)
	}
}
