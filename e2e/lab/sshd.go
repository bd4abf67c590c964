package lab

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/virtcast/virtcast/e2e/command"
)

// SSHServer is an OpenSSH server on a port of 127.0.0.1 that admits the user who runs the
// test, by one key.
type SSHServer struct {
	// Addr is host:port; User is who may log in.
	Addr, User string
	// KeyFile is the client's private key, in OpenSSH's format, without a passphrase.
	KeyFile string
	// KnownHosts is a known_hosts file with the server's key; WrongHosts is one with
	// another key.
	KnownHosts, WrongHosts string

	dir  string
	proc *process
}

// SSHD starts an SSH server and stops it when the test ends.
func SSHD(t testing.TB) *SSHServer {
	t.Helper()
	Require(t, "sshd")
	if os.Geteuid() == 0 {
		// Debian's unit makes it for the system's server.
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatalf("lab: %v", err)
		}
	}
	who, err := user.Current()
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	addr, err := freeAddr()
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	dir := tempDir(t, "ssh")
	in := func(name string) string { return filepath.Join(dir, name) }
	s := &SSHServer{
		Addr: addr, User: who.Username, KeyFile: in("client"),
		KnownHosts: in("known_hosts"), WrongHosts: in("wrong_hosts"), dir: dir,
	}
	host, client, other := newSSHKey(t, in("host")), newSSHKey(t, in("client")), newSSHKey(t, in("other"))
	at := "[127.0.0.1]:" + port(addr) + " "
	files := map[string]string{
		"authorized_keys": client,
		"known_hosts":     at + host,
		"wrong_hosts":     at + other,
		"sshd_config": strings.Join([]string{
			"ListenAddress " + addr,
			"HostKey " + in("host"),
			"AuthorizedKeysFile " + in("authorized_keys"),
			"PidFile none",
			"StrictModes no",
			"UsePAM no",
			"PasswordAuthentication no",
			"KbdInteractiveAuthentication no",
			"PermitRootLogin prohibit-password",
			"LogLevel VERBOSE",
		}, "\n") + "\n",
	}
	for name, text := range files {
		if err := os.WriteFile(in(name), []byte(text), 0o600); err != nil {
			t.Fatalf("lab: %v", err)
		}
	}
	s.start(t)
	return s
}

func (s *SSHServer) start(t testing.TB) {
	t.Helper()
	program, err := find("sshd") // it must be started by an absolute path
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	s.proc, err = spawn(command.Server(program, "-D", "-e", "-f", filepath.Join(s.dir, "sshd_config")), s.log())
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("sshd's log:\n%s", tail(s.Log(), 20))
		}
		if err := s.proc.terminate(); err != nil {
			t.Errorf("lab: %v", err)
		}
	})
	if err := poll(startTimeout, s.answers); err != nil {
		t.Fatalf("lab: sshd does not answer: %v\n%s", err, s.Log())
	}
}

func (s *SSHServer) answers() error {
	if !s.proc.running() {
		return &endedError{s.proc.err}
	}
	conn, err := net.DialTimeout("tcp", s.Addr, time.Second)
	if err != nil {
		return err
	}
	return conn.Close()
}

// newSSHKey makes a key pair and returns the line of its public half.
func newSSHKey(t testing.TB, path string) string {
	t.Helper()
	args := []string{"-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", path}
	out, err := command.New(context.Background(), Patience, "ssh-keygen", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("lab: ssh-keygen: %v: %s", err, out)
	}
	public, err := os.ReadFile(path + ".pub")
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	return string(public)
}

// URI turns a local URI such as "test:///default" into the one that reaches a daemon
// through this server, with its key and its known hosts.
func (s *SSHServer) URI(d *Daemon, uri string) string {
	driver, path, _ := strings.Cut(uri, "://")
	return fmt.Sprintf("%s+ssh://%s@%s%s?socket=%s&keyfile=%s&known_hosts=%s",
		driver, s.User, s.Addr, path, d.Socket(), s.KeyFile, s.KnownHosts)
}

// Log returns what the server has logged.
func (s *SSHServer) Log() string {
	text, err := os.ReadFile(s.log())
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (s *SSHServer) log() string { return filepath.Join(s.dir, "sshd.log") }
