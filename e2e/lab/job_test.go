package lab

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/virtcast/virtcast/e2e/command"
)

// hangingVirsh puts a virsh first in the PATH that hangs instead of ending, as virsh 9.0
// does sometimes: with a command that waits for a job, behind its end or, with "before",
// before its begin.
func hangingVirsh(t *testing.T, when string) {
	t.Helper()
	program, err := exec.LookPath("virsh")
	if err != nil {
		t.Fatal(err)
	}
	script := `#!/bin/sh
case "$4" in save|managedsave|dump|migrate) ;; *) exec ` + program + ` "$@" ;; esac
`
	if when == "behind" {
		script += program + ` "$@"` + "\n"
	}
	script += "exec sleep 1000\n"
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "virsh"), []byte(script), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

// A job of virsh has succeeded when the daemon says that it is done, though virsh hangs.
func TestJob(t *testing.T) {
	d := Libvirtd(t, Options{})
	d.Hold(t, Test)
	file := d.path("guests", "image")
	hangingVirsh(t, "behind")
	start := func(name string) {
		d.Define(t, Test, name, TestDomain(name))
		d.Virsh(t, Test, "start", name)
	}
	for name, tc := range map[string]struct {
		args  []string
		state string // afterwards
	}{
		"managedsave":  {[]string{"managedsave"}, "shut off"},
		"save":         {[]string{"save", file}, "shut off"},
		"dump":         {[]string{"dump", file + ".core"}, "running"},
		"dump --crash": {[]string{"dump", "--crash", file + ".crash"}, "shut off"},
	} {
		t.Run(name, func(t *testing.T) {
			domain := strings.ReplaceAll(name, " --", "-")
			start(domain)
			args := append([]string{tc.args[0], domain}, tc.args[1:]...)
			if _, err := TryVirsh(d.URI(Test), args...); err != nil {
				t.Error(err)
			}
			if got := d.Virsh(t, Test, "domstate", domain); got != tc.state {
				t.Errorf("got state %q, want %q", got, tc.state)
			}
		})
	}
	t.Run("of a transient domain", func(t *testing.T) {
		start("transient")
		d.Virsh(t, Test, "undefine", "transient")
		if _, err := TryVirsh(d.URI(Test), "save", "transient", file+".transient"); err != nil {
			t.Error(err)
		}
	})
}

// A job that is never done fails at its deadline, with the name of the command.
func TestJobDeadline(t *testing.T) {
	d := Libvirtd(t, Options{})
	hangingVirsh(t, "before")
	_, err := virsh{uri: d.URI(Test), within: 5 * time.Second}.job("managedsave", "test")
	late := (*command.DeadlineError)(nil)
	if !errors.As(err, &late) || !strings.Contains(late.Command, "managedsave test") {
		t.Errorf("got error %v, want a DeadlineError that names the command", err)
	}
}
