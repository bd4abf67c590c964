package lab

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/virtcast/virtcast/e2e/command"
)

// Options say how a libvirtd listens besides its unix sockets. The zero value: not
// at all.
type Options struct {
	// TCP listens on a port of 127.0.0.1 without encryption and authentication.
	TCP bool
	// PKI, if set, listens for TLS on a port of 127.0.0.1 with its server certificate,
	// and admits clients with a certificate of its authority only.
	PKI *PKI
	// SASL, if not empty, are users and their passwords: TLS clients then have to
	// authenticate with SCRAM-SHA-256 or PLAIN.
	SASL map[string]string
	// Session starts a session daemon even where a system one is possible.
	Session bool
	// LogFilters are libvirtd's log_filters: "1:libvirt" logs every call of its API. By
	// default warnings, errors and some infos are logged.
	LogFilters string
	// Config is appended to libvirtd.conf.
	Config []string
}

// Daemon is a libvirtd of the test's own.
type Daemon struct {
	// Dir is the daemon's directory, which is removed when the test ends.
	Dir string
	// Hostname is what the daemon answers when asked for its host's name.
	Hostname string
	// TCPAddr and TLSAddr are where it listens, as host:port; empty where it does not.
	TCPAddr, TLSAddr string

	id   string     // unique on this machine
	ns   *namespace // nil in session mode
	proc *process   // libvirtd, or the nsenter that waits for it
}

// Libvirtd starts a libvirtd and stops it, with all its guests, when the test ends. One
// daemon serves qemu, lxc and test at once; in session mode qemu and test only (see
// [Daemon.Privileged]).
func Libvirtd(t testing.TB, opts Options) *Daemon {
	t.Helper()
	Require(t, "libvirtd")
	dir := tempDir(t, "virt")
	id := dir[strings.LastIndexByte(dir, '-')+1:]
	d := &Daemon{Dir: dir, Hostname: "lab-" + id, id: id}
	if err := d.prepare(opts); err != nil {
		t.Fatalf("lab: libvirtd: %v", err)
	}
	if os.Geteuid() == 0 && !opts.Session {
		ns, err := newNamespace(dir, d.Hostname)
		if err != nil {
			t.Logf("lab: libvirtd runs in session mode: %v", err)
		}
		d.ns = ns
	}
	if d.ns == nil {
		d.Hostname = hostname(t)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("libvirtd's log:\n%s", tail(d.Log(), 30))
		}
		d.Stop(t)
	})
	d.addSASLUsers(t, opts.SASL)
	d.Start(t)
	return d
}

// Privileged reports whether the daemon is a system one, in namespaces of its own.
func (d *Daemon) Privileged() bool { return d.ns != nil }

// Start starts libvirtd and waits until it answers. The daemon must not be running.
func (d *Daemon) Start(t testing.TB) {
	t.Helper()
	if d.proc != nil && d.proc.running() {
		t.Fatal("lab: libvirtd is running already")
	}
	args := []string{"-f", d.path("libvirtd.conf"), "-p", d.path("libvirtd.pid")}
	if d.TCPAddr != "" || d.TLSAddr != "" {
		args = append(args, "--listen")
	}
	cmd, err := d.command(server, "libvirtd", args...)
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	proc, err := spawn(cmd, d.path("libvirtd.log"))
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	d.proc = proc
	if err := poll(startTimeout, d.answers); err != nil {
		t.Fatalf("lab: libvirtd does not answer: %v\n%s", err, tail(d.Log(), 30))
	}
}

// answers returns nil if every socket of the daemon can be dialled.
func (d *Daemon) answers() error {
	if !d.proc.running() {
		return &endedError{d.proc.err}
	}
	addrs := map[string]string{d.Socket(): "unix"}
	for _, addr := range []string{d.TCPAddr, d.TLSAddr} {
		if addr != "" {
			addrs[addr] = "tcp"
		}
	}
	for addr, network := range addrs {
		conn, err := net.DialTimeout(network, addr, time.Second)
		if err != nil {
			return err
		}
		if err := conn.Close(); err != nil {
			return err
		}
	}
	return nil
}

// Stop ends libvirtd in order, then everything else that it had started. Stopping twice
// is no error; a stopped daemon cannot be started again (see [Daemon.Terminate]).
func (d *Daemon) Stop(t testing.TB) {
	t.Helper()
	if d.ns == nil {
		d.killSessionGuests(t)
	}
	d.Terminate(t)
	if d.ns != nil {
		if err := d.ns.close(); err != nil {
			t.Errorf("lab: %v", err)
		}
		d.removeControlGroups(t)
	}
}

// Terminate ends libvirtd in order. Guests go on, as they do on a real host.
func (d *Daemon) Terminate(t testing.TB) {
	t.Helper()
	d.end(t, syscall.SIGTERM)
}

// Kill ends libvirtd with SIGKILL. Guests go on, as they do on a real host.
func (d *Daemon) Kill(t testing.TB) {
	t.Helper()
	d.end(t, syscall.SIGKILL)
}

// Restart ends libvirtd in order and starts it again.
func (d *Daemon) Restart(t testing.TB) {
	t.Helper()
	d.Terminate(t)
	d.Start(t)
}

// end sends a signal to libvirtd, if it runs, and waits until it has ended.
func (d *Daemon) end(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if d.proc == nil || !d.proc.running() {
		return
	}
	kill := fmt.Sprintf(`kill -%d "$(cat "$1")"`, sig)
	if out, err := d.run("/bin/sh", "-c", kill, "kill", d.path("libvirtd.pid")); err != nil && d.proc.running() {
		t.Logf("lab: signal libvirtd: %v: %s", err, out)
	}
	if !d.proc.wait(stopTimeout) {
		t.Errorf("lab: libvirtd did not end within %v of %v", stopTimeout, sig)
		if err := d.proc.kill(); err != nil {
			t.Errorf("lab: %v", err)
		}
	}
}

// Log returns what libvirtd has logged since its first start.
func (d *Daemon) Log() string {
	text, err := os.ReadFile(d.path("libvirtd.log"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Run runs a program where the daemon lives, in its namespaces, and returns its
// output. The test fails if the program does.
func (d *Daemon) Run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := d.run(name, args...)
	if err != nil {
		t.Fatalf("lab: %s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

func (d *Daemon) run(name string, args ...string) (string, error) {
	cmd, err := d.command(bounded, name, args...)
	if err != nil {
		return "", err
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// command returns a command that runs where the daemon lives.
func (d *Daemon) command(lasts lasting, name string, args ...string) (*command.Cmd, error) {
	path, err := find(name)
	if err != nil {
		return nil, err
	}
	if d.ns != nil {
		return lasts("nsenter", d.ns.enter(path, args...)...), nil
	}
	cmd := lasts(path, args...)
	d.inSession(cmd)
	return cmd, nil
}

// lasting makes a command that lasts as long as it should: see bounded and server.
type lasting func(name string, args ...string) *command.Cmd

// bounded makes a command that ends by itself, within [Patience].
func bounded(name string, args ...string) *command.Cmd {
	return command.New(context.Background(), Patience, name, args...)
}

// server makes a command that runs until the lab ends it.
func server(name string, args ...string) *command.Cmd { return command.Server(name, args...) }

func (d *Daemon) path(elem ...string) string {
	return filepath.Join(append([]string{d.Dir}, elem...)...)
}

func hostname(t testing.TB) string {
	t.Helper()
	name, err := os.Hostname()
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	return name
}
