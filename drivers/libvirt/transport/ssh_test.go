package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/crypto/ssh/knownhosts"
)

// sshHome is a home directory with nothing in it, and no agent.
func sshHome(t *testing.T) string {
	t.Helper()
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("SSH_AUTH_SOCK", "")
	return home
}

func (s *sshServer) know(path string, key ssh.PublicKey) {
	s.t.Helper()
	writeFile(s.t, path, []byte(knownhosts.Line([]string{s.address}, key)+"\n"))
}

// startAgent serves an agent with one key until the test ends.
func startAgent(t *testing.T, key any) {
	t.Helper()
	keyring := agent.NewKeyring()
	if err := keyring.Add(agent.AddedKey{PrivateKey: key}); err != nil {
		t.Fatal(err)
	}
	serveAgent(t, keyring)
}

// serveAgent serves an agent until the test ends.
func serveAgent(t *testing.T, keyring agent.Agent) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "agent")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_ = agent.ServeAgent(keyring, conn)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-done
	})
	t.Setenv("SSH_AUTH_SOCK", path)
}

func TestDialSSH(t *testing.T) {
	home := sshHome(t)
	public, _ := writeKey(t, home+"/.ssh/id_ed25519")
	commands := make(chan string, 1)
	server := startSSH(t, &sshServer{exec: func(command string, stdio io.ReadWriter, _ io.Writer) uint32 {
		commands <- command
		echo(stdio)
		return 0
	}}, public)
	server.know(home+"/.ssh/known_hosts", server.hostKey.PublicKey())

	u := mustParse(t, "qemu+ssh://jo@"+server.address+"/system")
	conn, err := Dialer{}.Dial(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	if conn.Kind != SSH || !conn.Encrypted || conn.Via != "ssh jo@"+server.address {
		t.Errorf("got %s %v %s", conn.Kind, conn.Encrypted, conn.Via)
	}
	if got := <-commands; got != u.remoteCommand() {
		t.Errorf("command: got %s, want %s", got, u.remoteCommand())
	}
	big := strings.Repeat("0123456789abcdef", 1<<16) // 1 MiB: more than any window or buffer on the way.
	go func() { _, _ = io.WriteString(conn, big) }()
	got := make([]byte, len(big))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != big {
		t.Errorf("echo of %d bytes: wrong, %v", len(big), err)
	}

	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(got); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read past the deadline: got %v, want a time-out", err)
	}
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "again"); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadFull(conn, got[:5]); err != nil || string(got[:5]) != "again" {
		t.Errorf("after a time-out: got %q, %v, want again", got[:5], err)
	}
	for range 2 {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := conn.Read(got); !errors.Is(err, net.ErrClosed) {
		t.Errorf("read after close: got %v, want net.ErrClosed", err)
	}
}

func TestSSHRemoteProgramFails(t *testing.T) {
	home := sshHome(t)
	public, _ := writeKey(t, home+"/k")
	tests := map[string]struct {
		exec func(string, io.ReadWriter, io.Writer) uint32
		want string // "" for a bare EOF
	}{
		"not installed": {func(_ string, _ io.ReadWriter, stderr io.Writer) uint32 {
			_, _ = io.WriteString(stderr, "sh: 1: exec: nc:\n not found\n")
			return 127
		}, "the remote command ended with status 127, saying: sh: 1: exec: nc: not found; virt-ssh-helper and netcat may be missing"},
		"no daemon": {func(_ string, _ io.ReadWriter, stderr io.Writer) uint32 {
			_, _ = io.WriteString(stderr, strings.Repeat("x", 3*tailSize)+" connection refused")
			return 1
		}, "connection refused; is libvirt running on the host"},
		"silent failure": {func(string, io.ReadWriter, io.Writer) uint32 { return 3 }, "the remote command ended with status 3; is libvirt"},
		"daemon closed":  {func(string, io.ReadWriter, io.Writer) uint32 { return 0 }, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			server := startSSH(t, &sshServer{exec: tc.exec}, public)
			conn, err := Dialer{}.Dial(t.Context(), mustParse(t, "qemu+ssh://jo@"+server.address+"/system?no_verify=1&keyfile="+home+"/k"))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			_, err = conn.Read(make([]byte, 1))
			if !errors.Is(err, io.EOF) {
				t.Fatalf("got %v, want one that wraps io.EOF", err)
			}
			if tc.want == "" {
				if err != io.EOF { //nolint:errorlint // exactly io.EOF, not wrapped
					t.Errorf("got %v, want io.EOF", err)
				}
				return
			}
			wantError(t, err, tc.want)
		})
	}
}

// When the connection is lost under the remote program, readers see the end.
func TestSSHConnectionLost(t *testing.T) {
	home := sshHome(t)
	public, _ := writeKey(t, home+"/k")
	server := startSSH(t, &sshServer{exec: func(_ string, stdio io.ReadWriter, _ io.Writer) uint32 {
		echo(stdio)
		return 0
	}}, public)
	conn, err := Dialer{}.Dial(t.Context(), mustParse(t, "qemu+ssh://jo@"+server.address+"/system?no_verify=1&keyfile="+home+"/k"))
	if err != nil {
		t.Fatal(err)
	}
	server.cut()
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("read: got %v, want io.EOF", err)
	}
	if _, err := conn.Write(make([]byte, 1)); err == nil {
		t.Error("write: got nil, want an error")
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
}

func TestSSHHostKeys(t *testing.T) {
	home := sshHome(t)
	public, _ := writeKey(t, home+"/k")
	server := startSSH(t, &sshServer{exec: func(string, io.ReadWriter, io.Writer) uint32 { return 0 }}, public)
	_, port, err := net.SplitHostPort(server.address)
	if err != nil {
		t.Fatal(err)
	}
	right, other := server.hostKey.PublicKey(), newSigner(t).PublicKey()
	fingerprint := ssh.FingerprintSHA256(right)
	tests := map[string]struct {
		line  string
		query string
		want  string
	}{
		"known":   {line: knownhosts.Line([]string{server.address}, right)},
		"hashed":  {line: knownhosts.HashHostname(knownhosts.Normalize(server.address)) + " " + string(ssh.MarshalAuthorizedKey(right))},
		"unknown": {line: knownhosts.Line([]string{"elsewhere"}, right), want: "its ssh-ed25519 key is " + fingerprint},
		"the cure for unknown": {
			line: "", want: "then run ssh-keyscan -p " + port + " -t ed25519 127.0.0.1 >> " + home + "/kh",
		},
		"changed":               {line: knownhosts.Line([]string{server.address}, other), want: "someone may be listening in"},
		"changed, ignored":      {line: knownhosts.Line([]string{server.address}, other), query: "&known_hosts_verify=ignore"},
		"revoked":               {line: "@revoked * " + string(ssh.MarshalAuthorizedKey(right)), want: "is revoked"},
		"malformed known_hosts": {line: "one two three", want: "read known hosts"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			writeFile(t, home+"/kh", []byte(tc.line+"\n"))
			conn, err := Dialer{}.Dial(t.Context(), mustParse(t, "qemu+ssh://jo@"+server.address+"/system?known_hosts="+home+"/kh&keyfile="+home+"/k"+tc.query))
			if tc.want != "" {
				wantError(t, err, tc.want)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			_ = conn.Close()
		})
	}
	t.Run("no file", func(t *testing.T) {
		if exists("/etc/ssh/ssh_known_hosts") {
			t.Log("the system has known hosts of its own, which come into play")
		}
		_, err := Dialer{}.Dial(t.Context(), mustParse(t, "qemu+ssh://jo@"+server.address+"/system?keyfile="+home+"/k"))
		wantError(t, err, "ssh-keyscan")
	})
}

// A host with several keys shows the one that is known.
func TestPreferKnownHostKeys(t *testing.T) {
	got := prefer([]string{ssh.KeyAlgoRSA}, false)
	if diff := cmp.Diff([]string{ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512}, got[:2]); diff != "" {
		t.Errorf("first algorithms for a known rsa key (-want +got):\n%s", diff)
	}
	if got := prefer([]string{ssh.KeyAlgoRSA}, true); !strings.Contains(got[0], "-cert-") {
		t.Errorf("first algorithm with an authority: got %s, want a certificate's", got[0])
	}
	if got, want := len(got), len(ssh.SupportedAlgorithms().HostKeys); got != want {
		t.Errorf("got %d algorithms, want all %d", got, want)
	}
}

func TestSSHLogin(t *testing.T) {
	tests := map[string]struct {
		// prepare sets the keys up and returns the one that the server lets in.
		prepare func(t *testing.T, home string) ssh.PublicKey
		query   string
		want    string
	}{
		"default file": {prepare: func(t *testing.T, home string) ssh.PublicKey {
			t.Helper()
			public, _ := writeKey(t, home+"/.ssh/id_ecdsa")
			return public
		}},
		"agent": {prepare: func(t *testing.T, home string) ssh.PublicKey {
			t.Helper()
			public, key := writeKey(t, home+"/unused")
			startAgent(t, key)
			return public
		}},
		"agent only": {query: "&sshauth=agent", prepare: func(t *testing.T, home string) ssh.PublicKey {
			t.Helper()
			public, _ := writeKey(t, home+"/.ssh/id_ed25519")
			return public
		}, want: "no key to log in with: no agent (SSH_AUTH_SOCK is not set); give a key"},
		"file only": {query: "&sshauth=privkey", prepare: func(t *testing.T, home string) ssh.PublicKey {
			t.Helper()
			public, key := writeKey(t, home+"/unused")
			startAgent(t, key)
			return public
		}, want: "id_ed25519 (not there)"},
		"dead agent": {prepare: func(t *testing.T, home string) ssh.PublicKey {
			t.Helper()
			t.Setenv("SSH_AUTH_SOCK", home+"/gone")
			public, _ := writeKey(t, home+"/.ssh/id_ed25519")
			return public
		}},
		"locked default file": {prepare: func(t *testing.T, home string) ssh.PublicKey {
			t.Helper()
			public, _ := writeLockedKey(t, home+"/.ssh/id_ed25519")
			return public
		}, want: "id_ed25519 (has a passphrase, left out)"},
		"locked file": {query: "&keyfile=k", prepare: func(t *testing.T, home string) ssh.PublicKey {
			t.Helper()
			t.Chdir(home)
			public, _ := writeLockedKey(t, home+"/k")
			return public
		}, want: "key k is protected by a passphrase; virtcast never asks for one: load the key into an agent (ssh-add k)"},
		"locked file with agent": {query: "&keyfile=k", prepare: func(t *testing.T, home string) ssh.PublicKey {
			t.Helper()
			t.Chdir(home)
			public, key := writeLockedKey(t, home+"/k")
			startAgent(t, key)
			return public
		}},
		"missing file": {query: "&keyfile=/nowhere", prepare: func(t *testing.T, _ string) ssh.PublicKey {
			t.Helper()
			return newSigner(t).PublicKey()
		}, want: "key /nowhere: open /nowhere: no such file or directory; keyfile= must be"},
		"no key file": {query: "&keyfile=k", prepare: func(t *testing.T, home string) ssh.PublicKey {
			t.Helper()
			t.Chdir(home)
			writeFile(t, home+"/k", []byte("not a key"))
			return newSigner(t).PublicKey()
		}, want: "keyfile= must be the path of a private key"},
		"not let in": {query: "&keyfile=k", prepare: func(t *testing.T, home string) ssh.PublicKey {
			t.Helper()
			t.Chdir(home)
			writeKey(t, home+"/k")
			return newSigner(t).PublicKey()
		}, want: "user jo was not let in with no agent (SSH_AUTH_SOCK is not set), k: "},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			home := sshHome(t)
			public := tc.prepare(t, home)
			server := startSSH(t, &sshServer{exec: func(string, io.ReadWriter, io.Writer) uint32 { return 0 }}, public)
			conn, err := Dialer{}.Dial(t.Context(), mustParse(t, "qemu+ssh://jo@"+server.address+"/system?no_verify=1"+tc.query))
			if tc.want != "" {
				wantError(t, err, tc.want)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			_ = conn.Close()
		})
	}
}

func TestSSHForwardsWhereNoCommandRuns(t *testing.T) {
	home := sshHome(t)
	public, _ := writeKey(t, home+"/k")
	var asked string
	server := startSSH(t, &sshServer{forward: func(path string, stream io.ReadWriter) {
		asked = path
		echo(stream)
	}}, public)
	query := "?no_verify=1&keyfile=" + home + "/k"
	conn, err := Dialer{}.Dial(t.Context(), mustParse(t, "qemu+ssh://jo@"+server.address+"/system"+query))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "hi"); err != nil {
		t.Error(err)
	}
	var got [2]byte
	if _, err := io.ReadFull(conn, got[:]); err != nil || string(got[:]) != "hi" {
		t.Errorf("got %q, %v, want hi", got, err)
	}
	_ = conn.Close()
	if want := "/var/run/libvirt/libvirt-sock-ro"; asked != want {
		t.Errorf("forwarded %s, want %s", asked, want)
	}
	_, err = Dialer{}.Dial(t.Context(), mustParse(t, "qemu+ssh://jo@"+server.address+"/session"+query))
	wantError(t, err, "start the remote command")
	server = startSSH(t, &sshServer{}, public)
	_, err = Dialer{}.Dial(t.Context(), mustParse(t, "qemu+ssh://jo@"+server.address+"/system"+query))
	wantError(t, err, "forwarding is off")
}

func TestDialSSHHonoursContext(t *testing.T) {
	home := sshHome(t)
	writeKey(t, home+"/k")
	silent, err := net.Listen("tcp", "127.0.0.1:0") // Accepts in the kernel and never answers.
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err = Dialer{}.Dial(ctx, mustParse(t, "qemu+ssh://jo@"+silent.Addr().String()+"/system?no_verify=1&keyfile="+home+"/k"))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the context's error", err)
	}
}

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
			shell := exec.Command("/bin/sh", "-c", mustParse(t, tc.uri).remoteCommand())
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

func TestLoginName(t *testing.T) {
	if got, err := loginName(mustParse(t, "qemu+ssh://jo@h/system")); err != nil || got != "jo" {
		t.Errorf("got %q, %v, want jo", got, err)
	}
	if got, err := loginName(mustParse(t, "qemu+ssh://h/system")); err != nil || got == "" {
		t.Errorf("got %q, %v, want the current user", got, err)
	}
}

// An agent that never answers holds nobody up: neither when it is asked for its keys, nor when it
// is to sign.
func TestSilentAgent(t *testing.T) {
	sshHome(t)
	socket := filepath.Join(t.TempDir(), "agent")
	listen(t, socket)
	t.Setenv("SSH_AUTH_SOCK", socket)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := Dialer{}.Dial(ctx, mustParse(t, "qemu+ssh://jo@127.0.0.1:1/system?no_verify=1"))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("asked for keys: got %v, want the context's error", err)
	}

	stuck := &stuckAgent{Agent: agent.NewKeyring(), entered: make(chan struct{})}
	public, key := writeKey(t, t.TempDir()+"/k")
	if err := stuck.Add(agent.AddedKey{PrivateKey: key}); err != nil {
		t.Fatal(err)
	}
	stuck.release = make(chan struct{})
	serveAgent(t, stuck)
	t.Cleanup(func() { close(stuck.release) })
	server := startSSH(t, &sshServer{}, public)
	ctx, cancel = context.WithCancel(t.Context())
	go func() {
		<-stuck.entered
		cancel()
	}()
	_, err = Dialer{}.Dial(ctx, mustParse(t, "qemu+ssh://jo@"+server.address+"/system?no_verify=1"))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("asked to sign: got %v, want the context's error", err)
	}
}

// stuckAgent does not sign before it is released.
type stuckAgent struct {
	agent.Agent
	entered, release chan struct{}
}

// Sign tells that it was called, and waits.
func (a *stuckAgent) Sign(ssh.PublicKey, []byte) (*ssh.Signature, error) {
	close(a.entered)
	<-a.release
	return nil, errors.New("released")
}
