package transport

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/virtcast/virtcast/e2e/command"
)

// The remote command, run by a real shell, calls the right program with the right words.
func TestRemoteCommand(t *testing.T) {
	tests := map[string]struct {
		uri string
		// programs are those that the remote host has.
		programs []string
		want     string
	}{
		"helper":             {"qemu+ssh://h/system", []string{"virt-ssh-helper", "nc"}, "virt-ssh-helper|-r|qemu:///system"},
		"helper, mode":       {"qemu+ssh://h/system?mode=direct", []string{"virt-ssh-helper"}, "virt-ssh-helper|-r|qemu:///system?mode=direct"},
		"helper, name":       {"qemu+ssh://h/system?name=a:///x'y z", []string{"virt-ssh-helper"}, "virt-ssh-helper|-r|a:///x'y z"},
		"native session":     {"qemu+ssh://h/session", []string{"virt-ssh-helper", "nc"}, "virt-ssh-helper|-r|qemu:///session"},
		"no helper":          {"qemu+ssh://h/system", []string{"nc"}, "nc|-U|/var/run/libvirt/libvirt-sock-ro"},
		"no helper, direct":  {"qemu+ssh://h/system?mode=direct", []string{"nc"}, "nc|-U|/var/run/libvirt/virtqemud-sock-ro"},
		"nc that has -q":     {"qemu+ssh://h/system?proxy=netcat", []string{"virt-ssh-helper", "nc-q:nc"}, "nc|-q0|-U|/var/run/libvirt/libvirt-sock-ro"},
		"socket":             {"qemu+ssh://h/system?socket=/a b'c", []string{"virt-ssh-helper", "nc"}, "nc|-U|/a b'c"},
		"netcat of a choice": {"qemu+ssh://h/system?netcat=n' c", []string{"virt-ssh-helper", "n' c"}, "n' c|-U|/var/run/libvirt/libvirt-sock-ro"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			bin := t.TempDir()
			for _, tool := range []string{"sh", "grep"} {
				path, err := exec.LookPath(tool)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.Symlink(path, filepath.Join(bin, tool)); err != nil {
					t.Fatal(err)
				}
			}
			for _, program := range tc.programs {
				usage := "unknown option"
				if rest, ok := strings.CutPrefix(program, "nc-q:"); ok {
					program, usage = rest, "option requires an argument"
				}
				script := fmt.Sprintf("#!/bin/sh\nif [ \"$1\" = -q ]; then echo %s >&2; exit 1; fi\nprintf %%s \"${0##*/}\"; printf '|%%s' \"$@\"\n", quote(usage))
				if err := os.WriteFile(filepath.Join(bin, program), []byte(script), 0o700); err != nil { //nolint:gosec // a program
					t.Fatal(err)
				}
			}
			shell := command.New(t.Context(), time.Minute, "/bin/sh", "-c", mustParse(t, tc.uri).remoteCommand())
			shell.Env = []string{"PATH=" + bin}
			out, err := shell.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if string(out) != tc.want {
				t.Errorf("got %s, want %s", out, tc.want)
			}
		})
	}
}
