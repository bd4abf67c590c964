package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/virtcast/virtcast/e2e/command"
)

// QEMU, LXC and Test are the local URIs of the daemon's drivers.
const (
	QEMU = "qemu:///system"
	LXC  = "lxc:///system"
	Test = "test:///default"
)

// Socket returns the path of the read-write unix socket.
func (d *Daemon) Socket() string { return d.path("libvirt-sock") }

// SocketRO returns the path of the read-only unix socket; a session daemon has
// none, and the path is then that of the read-write one.
func (d *Daemon) SocketRO() string {
	if d.ns == nil {
		return d.Socket()
	}
	return d.path("libvirt-sock-ro")
}

// URI turns a URI such as "test:///default", "qemu:///system" or "lxc:///system" into the
// one that reaches this daemon over its unix socket. In session mode qemu's path is
// /session.
func (d *Daemon) URI(uri string) string {
	return d.remote(uri, "unix", "", url.Values{"socket": {d.Socket()}})
}

// TCPURI is as [Daemon.URI], over plain TCP.
func (d *Daemon) TCPURI(uri string) string { return d.remote(uri, "tcp", d.TCPAddr, nil) }

// TLSURI is as [Daemon.URI], over TLS with the certificates in a directory (see [PKI]).
func (d *Daemon) TLSURI(uri, pkiPath string) string {
	return d.remote(uri, "tls", d.TLSAddr, url.Values{"pkipath": {pkiPath}})
}

// remote rewrites a local URI. The tests' URIs are constants: a malformed one gives
// a malformed result, which the first use reports.
func (d *Daemon) remote(uri, transport, host string, params url.Values) string {
	driver, path, _ := strings.Cut(uri, "://")
	if d.ns == nil && driver == "qemu" {
		path = "/session"
	}
	remote := driver + "+" + transport + "://" + host + path
	if len(params) > 0 {
		remote += "?" + strings.ReplaceAll(params.Encode(), "%2F", "/")
	}
	return remote
}

// Virsh runs the real virsh against the daemon over its unix socket and returns what it
// prints, without surrounding white space. uri is local, as for [Daemon.URI]. The test
// fails if virsh does.
func (d *Daemon) Virsh(t testing.TB, uri string, args ...string) string {
	t.Helper()
	return Virsh(t, d.URI(uri), args...)
}

// Virsh runs the real virsh with a complete URI and returns what it prints, without
// surrounding white space. The test fails if virsh does.
func Virsh(t testing.TB, uri string, args ...string) string {
	t.Helper()
	out, err := TryVirsh(uri, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TryVirsh is as [Virsh] and returns the failure, with the message of virsh. A command
// that waits for a job, such as save or migrate, has succeeded when the daemon's state
// shows that the job is done, whether virsh ends or not.
func TryVirsh(uri string, args ...string) (string, error) {
	v := virsh{uri: uri, within: virshTimeout}
	if _, waits := jobs[args[0]]; waits {
		return v.job(args...)
	}
	return v.run(args...)
}

// virsh runs virsh with a connection's URI.
type virsh struct {
	uri    string
	within time.Duration // what each command may take
}

// virshRun is a virsh that runs.
type virshRun struct {
	cmd            *command.Cmd
	stdout, stderr bytes.Buffer
	words          string // the URI and the command
}

func (v virsh) run(args ...string) (string, error) {
	r, err := v.start(args...)
	if err != nil {
		return "", err
	}
	if err := r.wait(); err != nil {
		return "", err
	}
	return r.output(), nil
}

func (v virsh) start(args ...string) (*virshRun, error) {
	r := &virshRun{
		cmd:   command.New(context.Background(), v.within, "virsh", append([]string{"-q", "-c", v.uri}, args...)...),
		words: v.uri + " " + strings.Join(args, " "),
	}
	r.cmd.Stdout, r.cmd.Stderr = &r.stdout, &r.stderr
	return r, r.cmd.Start()
}

// wait waits until virsh has ended.
func (r *virshRun) wait() error {
	err := r.cmd.Wait()
	stderr := strings.TrimSpace(r.stderr.String())
	late := (*command.DeadlineError)(nil)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &late): // names the command
		return fmt.Errorf("%w: %s", err, stderr)
	default:
		return fmt.Errorf("virsh -c %s: %w: %s", r.words, err, stderr)
	}
}

// output returns what virsh has printed. It has ended.
func (r *virshRun) output() string { return strings.TrimSpace(r.stdout.String()) }

// Define defines a domain from its XML and returns its UUID.
func (d *Daemon) Define(t testing.TB, uri, name, xml string) string {
	t.Helper()
	d.Virsh(t, uri, "define", d.WriteXML(t, name, xml))
	return d.Virsh(t, uri, "domuuid", name)
}

// WriteXML writes a domain's XML to a file, for virsh define and create, and returns its
// path.
func (d *Daemon) WriteXML(t testing.TB, name, xml string) string {
	t.Helper()
	file := filepath.Join(d.path("guests"), name+".xml")
	if err := os.WriteFile(file, []byte(xml), 0o644); err != nil {
		t.Fatalf("lab: %v", err)
	}
	return file
}

// TestDomain is the XML of a domain of the test driver.
func TestDomain(name string) string {
	return "<domain type='test'><name>" + name + "</name><memory unit='MiB'>8</memory><vcpu>1</vcpu><os><type>hvm</type></os></domain>"
}
