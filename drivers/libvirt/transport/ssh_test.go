package transport

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
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
