package lab

import (
	"bufio"
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

// NATSOptions say what a NATS server does besides JetStream. The zero value: nothing.
type NATSOptions struct {
	// Config is appended to the server's configuration file: authorization, TLS, limits.
	Config []string
}

// NATSServer is a NATS server process with JetStream on a port of 127.0.0.1.
type NATSServer struct {
	// URL is where clients connect: nats://127.0.0.1:port. It survives a restart.
	URL string
	// StoreDir is JetStream's directory.
	StoreDir string

	program, dir, addr string
	proc               *process
}

// NATS starts a NATS server, built from the module that virtcast depends on, and
// stops it when the test ends.
func NATS(t testing.TB, opts NATSOptions) *NATSServer {
	t.Helper()
	Require(t, "go")
	program, err := build("github.com/nats-io/nats-server/v2", "nats-server", false)
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	addr, err := freeAddr()
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	dir := t.TempDir()
	s := &NATSServer{URL: "nats://" + addr, StoreDir: filepath.Join(dir, "store"), program: program, dir: dir, addr: addr}
	config := append([]string{
		fmt.Sprintf("listen: %q", addr),
		fmt.Sprintf("jetstream: {store_dir: %q}", s.StoreDir),
	}, opts.Config...)
	if err := os.WriteFile(s.config(), []byte(strings.Join(config, "\n")+"\n"), 0o644); err != nil {
		t.Fatalf("lab: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("nats-server's log:\n%s", tail(s.Log(), 20))
		}
		s.Terminate(t)
	})
	s.Start(t)
	return s
}

// Start starts the server and waits until it answers. It must not be running.
func (s *NATSServer) Start(t testing.TB) {
	t.Helper()
	if s.proc != nil && s.proc.running() {
		t.Fatal("lab: nats-server is running already")
	}
	proc, err := spawn(command.Server(s.program, "-c", s.config()), s.log())
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	s.proc = proc
	if err := poll(startTimeout, s.answers); err != nil {
		t.Fatalf("lab: nats-server does not answer: %v\n%s", err, tail(s.Log(), 20))
	}
}

// answers returns nil if the server greets its clients, which it does once JetStream is
// there.
func (s *NATSServer) answers() error {
	if !s.proc.running() {
		return &endedError{s.proc.err}
	}
	conn, err := net.DialTimeout("tcp", s.addr, time.Second)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // only read
	if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && !strings.HasPrefix(line, "INFO ") {
		err = fmt.Errorf("greeting %q is not a NATS server's", line)
	}
	return err
}

// Terminate ends the server in order, if it runs.
func (s *NATSServer) Terminate(t testing.TB) {
	t.Helper()
	if s.proc != nil && s.proc.running() {
		if err := s.proc.terminate(); err != nil {
			t.Errorf("lab: %v", err)
		}
	}
}

// Kill ends the server with SIGKILL, if it runs.
func (s *NATSServer) Kill(t testing.TB) {
	t.Helper()
	if s.proc != nil && s.proc.running() {
		if err := s.proc.kill(); err != nil {
			t.Errorf("lab: %v", err)
		}
	}
}

// Pause stops the server's process without ending it (SIGSTOP): it neither answers nor
// closes its connections. Resume lets it go on.
func (s *NATSServer) Pause(t testing.TB) {
	t.Helper()
	if err := s.proc.pause(); err != nil {
		t.Fatalf("lab: pause nats-server: %v", err)
	}
}

// Resume ends a Pause.
func (s *NATSServer) Resume(t testing.TB) {
	t.Helper()
	if err := s.proc.signal(syscall.SIGCONT); err != nil {
		t.Fatalf("lab: %v", err)
	}
}

// Restart ends the server in order and starts it again, with its store and port.
func (s *NATSServer) Restart(t testing.TB) {
	t.Helper()
	s.Terminate(t)
	s.Start(t)
}

// Log returns what the server has logged since its first start.
func (s *NATSServer) Log() string {
	text, err := os.ReadFile(s.log())
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (s *NATSServer) config() string { return filepath.Join(s.dir, "nats.conf") }
func (s *NATSServer) log() string    { return filepath.Join(s.dir, "nats.log") }
