package lab

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// ContainerDomain is a defined LXC domain that runs a shell of busybox.
type ContainerDomain struct {
	// Name and UUID are the domain's. The name has the daemon's id at its end, since
	// control groups are named by it and common to all daemons.
	Name, UUID string

	daemon *Daemon
}

// containerXML wants the domain's name and its root directory.
const containerXML = `<domain type='lxc'><name>%s</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>
<os><type>exe</type><init>/bin/sleep</init><initarg>100000</initarg></os>
<devices><filesystem type='mount'><source dir='%s'/><target dir='/'/></filesystem><console type='pty'/></devices></domain>
`

// Container defines a container on the daemon's lxc driver; it does not start it. It
// needs a privileged daemon.
func Container(t testing.TB, d *Daemon, name string) *ContainerDomain {
	t.Helper()
	Require(t, "lxc")
	if !d.Privileged() {
		unavailable(t, "containers need root and mount namespaces; run the tests as root")
	}
	c := &ContainerDomain{Name: name + "-" + d.id, daemon: d}
	root := d.path("guests", c.Name)
	if err := makeRoot(root); err != nil {
		t.Fatalf("lab: container: %v", err)
	}
	c.UUID = d.Define(t, LXC, c.Name, fmt.Sprintf(containerXML, c.Name, root))
	return c
}

// makeRoot makes a root directory with a static busybox, which is also its sleep.
func makeRoot(root string) error {
	for _, dir := range []string{"bin", "dev", "proc", "sys", "etc", "tmp"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			return err
		}
	}
	path, err := find("busybox")
	if err != nil {
		return err
	}
	if err := copyProgram(filepath.Join(root, "bin", "busybox"), path); err != nil {
		return err
	}
	return os.Symlink("busybox", filepath.Join(root, "bin", "sleep"))
}

func copyProgram(dst, src string) error {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // only read
	out, err := os.OpenFile(dst, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		_ = out.Close() // the copy's error says more
		return err
	}
	return out.Close()
}

// Virsh runs virsh with a command that takes the domain: Virsh(t, "start").
func (c *ContainerDomain) Virsh(t testing.TB, command string, args ...string) string {
	t.Helper()
	return c.daemon.Virsh(t, LXC, append([]string{command, c.Name}, args...)...)
}

// endInit kills the first child of a controller. Before, it waits until that child runs
// the container's program: at first the child is the controller's own code, which
// prepares the container.
const endInit = `
while :; do
	init=$(cat "/proc/$1/task/$1/children")
	[ "$(cat "/proc/${init% }/comm")" != sleep ] || break
	sleep 0.05
done
exec kill -9 $init`

// EndInit kills the container's first process, which ends the container as if from
// inside.
func (c *ContainerDomain) EndInit(t testing.TB) {
	t.Helper()
	c.daemon.Run(t, "/bin/sh", "-c", endInit, "kill", c.controller(t))
}

// KillController kills libvirt_lxc, the process that looks after the container, with
// SIGKILL.
func (c *ContainerDomain) KillController(t testing.TB) {
	t.Helper()
	c.daemon.Run(t, "/bin/sh", "-c", `kill -9 "$1"`, "kill", c.controller(t))
}

// controller returns the controller's pid in the daemon's namespace; it is the domain's
// id.
func (c *ContainerDomain) controller(t testing.TB) string {
	t.Helper()
	return c.Virsh(t, "domid")
}
