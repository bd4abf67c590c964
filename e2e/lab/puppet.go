package lab

import (
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// puppetCode is the assembled testdata/guest.S, built with
//
//	gcc -c -m32 guest.S && ld -m elf_i386 -Ttext 0x7c00 --oformat binary
//
// and cut before its padding.
const puppetCode = "McCO2I7AjtC8AHywUug5Abr9A+yoAXT7uvgD7OgqATxwdDQ8c3Q5PGR0OjxydDs8Y3Q9PGx0QTx3dEU8dHRJ" +
	"PGJ0YjxtD4SBADxmD4SeADxhD4SiAOu5uAAgugQG7+uwuAAk6/W4ACjr8LD+5mTroLoFBbAB7uuYugUFsALu65C6QwSwDu7riLAL5nCwguZx" +
	"sATmcORxNAHmcbAL5nCwAuZx6Wv/uUAAUb5WfbgAQ7KAzROwZXIMZoMGXn1AWeLosGtRWeiCAOlG/7sAEI7DJv4GAACBwwABgfsAkHLvuv0D" +
	"7KgBdOQxwI7A6SP/+g8BHlB9zOkZ/2a7AAAAgGaJ2Lr4DGbvuvwMZu1mPfQaAhB0E2aBwwAIAABmgfsAAAGActvp6/5midiwELr4DGbvuvwM" +
	"Zu2D4PCJwoPCGGbtZgUAAQAAZu/px/5SuvgD7lrDAAAAAAAAAEABAAAAABBA"

const (
	bootSectorSize = 512
	puppetDiskSize = 64 << 20
	// commandTimeout bounds the guest's answer to a command; emulated on a busy
	// machine it may take seconds.
	commandTimeout = Patience
	// echoTimeout bounds one attempt to reach a guest that may not be up yet.
	echoTimeout = time.Second
)

// Guest is a defined QEMU domain whose guest is the puppet: a boot sector that says R
// when it is ready and then obeys single characters, each of which it echoes (see
// [Guest.Do]).
type Guest struct {
	// Name and UUID are the domain's.
	Name, UUID string

	daemon *Daemon
	serial string
}

// PuppetGuest defines a puppet on the daemon's qemu driver; it does not start it.
func PuppetGuest(t testing.TB, d *Daemon, name string) *Guest {
	t.Helper()
	Require(t, "qemu")
	g := &Guest{Name: name, daemon: d, serial: d.path("guests", name+".ser")}
	disk := d.path("guests", name+".img")
	if err := writePuppetDisk(disk); err != nil {
		t.Fatalf("lab: %v", err)
	}
	g.UUID = d.Define(t, QEMU, name, fmt.Sprintf(puppetXML, name, disk, g.serial))
	return g
}

// puppetXML wants the domain's name, its disk and the path of its serial line.
const puppetXML = `<domain type='qemu'><name>%s</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type><boot dev='hd'/></os>
<features><acpi/></features>
<on_crash>destroy</on_crash>
<pm><suspend-to-mem enabled='yes'/><suspend-to-disk enabled='yes'/></pm>
<devices>
<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='%s'/><target dev='hda' bus='ide'/></disk>
<serial type='unix'><source mode='bind' path='%s'/></serial>
<video><model type='none'/></video>
<panic model='isa'/><watchdog model='ib700' action='none'/><memballoon model='virtio'/>
</devices></domain>
`

func writePuppetDisk(path string) error {
	code, err := base64.StdEncoding.DecodeString(puppetCode)
	if err != nil {
		return err
	}
	sector := make([]byte, bootSectorSize)
	copy(sector, code)
	sector[bootSectorSize-2], sector[bootSectorSize-1] = 0x55, 0xaa
	if err := os.WriteFile(path, sector, 0o644); err != nil {
		return err
	}
	if err := os.Chmod(path, 0o666); err != nil { // for the session daemon of another user
		return err
	}
	return os.Truncate(path, puppetDiskSize)
}

// Virsh runs virsh with a command that takes the domain: Virsh(t, "start").
func (g *Guest) Virsh(t testing.TB, command string, args ...string) string {
	t.Helper()
	return g.daemon.Virsh(t, QEMU, append([]string{command, g.Name}, args...)...)
}

// AwaitBoot waits until a guest that was just started obeys.
func (g *Guest) AwaitBoot(t testing.TB) {
	t.Helper()
	// A command that it does not know is echoed and has no effect. What is sent
	// before the guest is up may be lost.
	Eventually(t, commandTimeout, func() error { return g.do('.', echoTimeout) })
}

// AwaitDaemon waits until the daemon, which has been started again, talks to the guest's
// emulator. Before, the daemon does not notice what the guest does.
func (g *Guest) AwaitDaemon(t testing.TB) {
	t.Helper()
	g.Virsh(t, "qemu-monitor-command", "--hmp", "info status") // waits for the daemon's own work on the guest
}

// Do gives the guest one command and waits for its echo: p powers off, s and d suspend to
// memory and disk, r resets, f is a triple fault, c and l report a panic (crashed, crash
// loaded), w lets the watchdog run out, t moves the clock by an hour, b writes 2 MiB to
// the disk.
func (g *Guest) Do(t testing.TB, command byte) {
	t.Helper()
	if err := g.do(command, commandTimeout); err != nil {
		t.Fatalf("lab: guest %s, command %q: %v", g.Name, command, err)
	}
}

func (g *Guest) do(command byte, timeout time.Duration) error {
	conn, err := net.Dial("unix", g.serial)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // nothing is buffered
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte{command}); err != nil {
		return err
	}
	for buf := make([]byte, 64); ; {
		n, err := conn.Read(buf)
		if err != nil {
			return err
		}
		if strings.IndexByte(string(buf[:n]), command) >= 0 {
			return nil
		}
	}
}

// Redefine defines the guest again, unchanged.
func (g *Guest) Redefine(t testing.TB) {
	t.Helper()
	xml := g.Virsh(t, "dumpxml", "--inactive") // has the UUID, without which it would be another domain
	g.daemon.Virsh(t, QEMU, "define", g.daemon.WriteXML(t, g.Name, xml))
}

// Kill kills the guest's emulator with SIGKILL.
func (g *Guest) Kill(t testing.TB) {
	t.Helper()
	dir := "/run/libvirt/qemu"
	if !g.daemon.Privileged() {
		dir = g.daemon.path("libvirt", "qemu", "run")
	}
	g.daemon.Run(t, "/bin/sh", "-c", `kill -9 "$(cat "$1")"`, "kill", dir+"/"+g.Name+".pid")
}
