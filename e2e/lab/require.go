package lab

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// program is a file that tests need, and the Debian package that has it: the name of an
// executable, or a pattern for an absolute path.
type program struct{ name, pkg string }

// parts are what can be required, by the word that tests use.
var parts = map[string][]program{
	"libvirtd": {{"libvirtd", "libvirt-daemon"}, {"virsh", "libvirt-clients"}, {"nsenter", "util-linux"}},
	"qemu":     {{"qemu-system-x86_64", "qemu-system-x86"}},
	"lxc":      {{"/usr/lib/libvirt/libvirt_lxc", "libvirt-daemon-driver-lxc"}, {"busybox", "busybox-static"}},
	"sasl":     {{"saslpasswd2", "sasl2-bin"}},
	"sshd":     {{"sshd", "openssh-server"}, {"ssh-keygen", "openssh-client"}},
	"go":       {{"go", "golang-go"}},
	"kafka":    {{"java", "default-jdk-headless"}, {"mvn", "maven"}},
	"java":     {{"java", "default-jdk-headless"}, {"javac", "default-jdk-headless"}, {"mvn", "maven"}},
	"python":   {{"python3", "python3"}, {"/usr/lib*/python3*/ensurepip", "python3-venv"}},
	"node":     {{"node", "nodejs"}, {"npm", "npm"}},
}

// Require makes sure that parts of the lab are installed: "libvirtd", "qemu", "lxc",
// "sasl", "sshd", "go", "kafka", and what runs the programs of e2e/interop: "java",
// "python", "node". If one is missing, the test is skipped with a message that names it
// and the command that installs it; where CI=true, the test fails instead. With go test
// -short, which make quick uses, the test is skipped in any case: quick tests start no
// server.
func Require(t testing.TB, names ...string) {
	t.Helper()
	if testing.Short() {
		t.Skip("left out of make quick: it starts " + strings.Join(names, ", "))
	}
	var missing []string
	for _, name := range names {
		if name == "lxc" && os.Geteuid() != 0 {
			unavailable(t, "containers need a system libvirtd; run the tests as root")
		}
		programs, ok := parts[name]
		if !ok {
			t.Fatalf("lab: nothing is called %q", name)
		}
		for _, p := range programs {
			if _, err := find(p.name); err != nil {
				missing = append(missing, fmt.Sprintf("%s (Debian package %s)", p.name, p.pkg))
			}
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		unavailable(t, "not installed: %s; install what the tests need with: sudo e2e/setup.sh", strings.Join(slices.Compact(missing), ", "))
	}
}

// unavailable ends the test: skipped on a developer's machine, failed in CI.
func unavailable(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// find returns the path of a program. Daemons are in directories that are not in
// the PATH of ordinary users.
func find(name string) (string, error) {
	if filepath.IsAbs(name) {
		paths, err := filepath.Glob(name)
		if err == nil && len(paths) == 0 {
			err = &fs.PathError{Op: "find", Path: name, Err: fs.ErrNotExist}
		}
		if err != nil {
			return "", err
		}
		return paths[0], nil
	}
	path, err := exec.LookPath(name)
	if err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/local/sbin"} {
		if p, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return p, nil
		}
	}
	return "", err
}
