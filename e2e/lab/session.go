package lab

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/virtcast/virtcast/e2e/command"
)

// nobody is the user that a session daemon runs as where the test is root: libvirtd run
// by root is always a system daemon.
const nobody = 65534

// inSession gives a command the environment and the user of the session daemon. There is
// no namespace to put /etc/sasl2 into, so a variable names SASL's configuration.
func (d *Daemon) inSession(cmd *command.Cmd) {
	cmd.Env = append(os.Environ(), "HOME="+d.Dir, "XDG_RUNTIME_DIR="+d.Dir,
		"XDG_CONFIG_HOME="+d.path("config"), "XDG_CACHE_HOME="+d.path("cache"), "XDG_DATA_HOME="+d.path("data"),
		"SASL_CONF_PATH="+d.path("etc/sasl2"))
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
}

// killSessionGuests kills the emulators of a session daemon, which outlive it.
func (d *Daemon) killSessionGuests(t testing.TB) {
	t.Helper()
	files, err := filepath.Glob(d.path("libvirt", "qemu", "run", "*.pid"))
	if err != nil {
		t.Errorf("lab: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // the guest has just ended
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			t.Errorf("lab: %s: %v", file, err)
			continue
		}
		_ = syscall.Kill(pid, syscall.SIGKILL) // gone is as good as killed
	}
}
