package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/virtcast/virtcast/drivers/libvirt/sasl"
	"github.com/virtcast/virtcast/drivers/libvirt/wire"
	"github.com/virtcast/virtcast/e2e/command"
	"github.com/virtcast/virtcast/e2e/lab"
)

// rpc makes one call at a time on a connection: enough to see that a real daemon is at
// its end.
type rpc struct {
	conn   net.Conn
	reader *wire.Reader
	serial uint32
}

func newRPC(t *testing.T, conn net.Conn) *rpc {
	t.Helper()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &rpc{conn: conn, reader: wire.NewReader(conn)}
}

var errRemote = errors.New("the daemon answered with an error")

func (r *rpc) call(procedure int32, args wire.Encoder) (wire.Decoder, error) {
	r.serial++
	header := wire.Header{Program: wire.ProgramRemote, Version: wire.ProgramVersion, Procedure: procedure, Serial: r.serial}
	if _, err := r.conn.Write(wire.AppendFrame(nil, header, args.Payload())); err != nil {
		return wire.Decoder{}, err
	}
	answer, payload, err := r.reader.Next()
	if err != nil {
		return wire.Decoder{}, err
	}
	if answer.Status != wire.StatusOK || answer.Serial != r.serial {
		return wire.Decoder{}, fmt.Errorf("%w: procedure %d, status %d, %q", errRemote, procedure, answer.Status, payload)
	}
	return wire.NewDecoder(payload), nil
}

// open does what a session does on a daemon that wants no login.
func (r *rpc) open(name string) (hostname string, err error) {
	if _, err := r.call(wire.ProcAuthList, wire.Encoder{}); err != nil {
		return "", err
	}
	return r.hello(name)
}

// hello opens the hypervisor read-only and asks the daemon for its host's name.
func (r *rpc) hello(name string) (hostname string, err error) {
	var args wire.Encoder
	args.OptionalString(name)
	args.Uint32(wire.OpenReadOnly)
	if _, err := r.call(wire.ProcConnectOpen, args); err != nil {
		return "", err
	}
	reply, err := r.call(wire.ProcConnectGetHostname, wire.Encoder{})
	if err != nil {
		return "", err
	}
	return reply.String(), reply.Err()
}

func dial(t *testing.T, d Dialer, uri string) (*Conn, *URI, error) {
	t.Helper()
	u, err := ParseURI(uri)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := d.Dial(t.Context(), u)
	if err == nil {
		t.Cleanup(func() {
			if err := conn.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
	return conn, u, err
}

// reach dials and checks that the right daemon answers.
func reach(t *testing.T, daemon *lab.Daemon, d Dialer, uri string) *Conn {
	t.Helper()
	conn, u, err := dial(t, d, uri)
	if err != nil {
		t.Fatal(err)
	}
	hostname, err := newRPC(t, conn).open(u.OpenName())
	if err != nil || hostname != daemon.Hostname {
		t.Errorf("%s: host name: got %q, %v, want %s", conn.Via, hostname, err, daemon.Hostname)
	}
	return conn
}

func says(t *testing.T, err error, want ...string) {
	t.Helper()
	for _, w := range want {
		wantError(t, err, w)
	}
}

func TestLibvirtdUnixAndTCP(t *testing.T) {
	daemon := lab.Libvirtd(t, lab.Options{TCP: true})
	reach(t, daemon, Dialer{}, daemon.URI("test:///default"))
	conn := reach(t, daemon, Dialer{}, daemon.TCPURI("test:///default"))
	if conn.Encrypted {
		t.Error("tcp says that it is encrypted")
	}
	if daemon.Privileged() {
		conn := reach(t, daemon, Dialer{RunDirs: []string{"/nowhere", daemon.Dir}}, "qemu:///system")
		if want := "unix " + daemon.SocketRO(); conn.Via != want {
			t.Errorf("got %s, want the read-only socket %s", conn.Via, want)
		}
		return
	}
	runtime := t.TempDir()
	if err := os.Mkdir(runtime+"/libvirt", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(daemon.Socket(), runtime+"/libvirt/libvirt-sock"); err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_RUNTIME_DIR", runtime)
	reach(t, daemon, Dialer{euid: ordinary}, "qemu:///session")
}

func TestLibvirtdTLS(t *testing.T) {
	pki := lab.NewPKI(t)
	daemon := lab.Libvirtd(t, lab.Options{PKI: pki})
	uri := daemon.TLSURI("test:///default", pki.Good)
	reach(t, daemon, Dialer{}, uri)
	reach(t, daemon, Dialer{}, strings.Replace(uri, "127.0.0.1", "localhost", 1))

	_, _, err := dial(t, Dialer{}, daemon.TLSURI("test:///default", pki.OtherCA))
	says(t, err, "the client certificate was "+pki.OtherCA+"/clientcert.pem", "authority issued it")
	_, _, err = dial(t, Dialer{}, daemon.TLSURI("test:///default", pki.Expired))
	says(t, err, "expired on")
	_, _, err = dial(t, Dialer{}, daemon.TLSURI("test:///default", pki.Missing))
	says(t, err, "clientcert.pem: no such file", "pkipath= must hold")

	// The system's directory, without a client certificate.
	etc := t.TempDir()
	if err := os.Mkdir(etc+"/CA", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(pki.Dir+"/cacert.pem", etc+"/CA/cacert.pem"); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", t.TempDir())
	_, _, err = dial(t, Dialer{PKIDir: etc}, "test://"+daemon.TLSAddr+"/default")
	says(t, err, "no client certificate was sent, since "+etc+"/libvirt/clientcert.pem does not exist")
}

// peer carries SASL messages in real calls.
type peer struct{ *rpc }

func (p peer) exchange(procedure int32, args wire.Encoder, data []byte, has bool) (sasl.Reply, error) {
	args.Bool(!has)
	args.Chars(data)
	d, err := p.call(procedure, args)
	if err != nil {
		return sasl.Reply{}, err
	}
	reply := sasl.Reply{Complete: d.Bool()}
	reply.Has = !d.Bool()
	reply.Data = d.Chars(wire.MaxSASLData)
	return reply, d.Err()
}

func (p peer) SASLStart(_ context.Context, mechanism string, data []byte, has bool) (sasl.Reply, error) {
	var args wire.Encoder
	args.String(mechanism)
	return p.exchange(wire.ProcAuthSASLStart, args, data, has)
}

func (p peer) SASLStep(_ context.Context, data []byte, has bool) (sasl.Reply, error) {
	return p.exchange(wire.ProcAuthSASLStep, wire.Encoder{}, data, has)
}

func TestLibvirtdSASL(t *testing.T) {
	pki := lab.NewPKI(t)
	daemon := lab.Libvirtd(t, lab.Options{PKI: pki, SASL: map[string]string{"jo": "geheim"}})
	host, _, err := net.SplitHostPort(daemon.TLSAddr)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		offered  []string // instead of what the daemon offers
		password string
		user     string
		want     error
	}{
		"scram":           {user: "jo", password: "geheim"},
		"plain":           {user: "jo", password: "geheim", offered: []string{"PLAIN"}},
		"scram, wrong":    {user: "jo", password: "falsch", want: errRemote},
		"plain, wrong":    {user: "jo", password: "falsch", offered: []string{"PLAIN"}, want: errRemote},
		"scram, stranger": {user: "al", password: "geheim", want: errRemote},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			conn, u, err := dial(t, Dialer{}, daemon.TLSURI("test:///default", pki.Good)+"&authfile="+lab.AuthFile(t, host, tc.user, tc.password))
			if err != nil {
				t.Fatal(err)
			}
			r := newRPC(t, conn)
			if _, err := r.call(wire.ProcAuthList, wire.Encoder{}); err != nil {
				t.Fatal(err)
			}
			answer, err := r.call(wire.ProcAuthSASLInit, wire.Encoder{})
			if err != nil {
				t.Fatal(err)
			}
			offered := sasl.Parse(answer.String())
			if tc.offered != nil {
				offered = tc.offered
			}
			credentials, err := sasl.Find(u.AuthFile, u.Host)
			if err != nil {
				t.Fatal(err)
			}
			mechanism, err := sasl.Choose(offered, credentials, sasl.Channel{Encrypted: conn.Encrypted, Verified: conn.Verified})
			if err != nil {
				t.Fatal(err)
			}
			if tc.offered == nil && mechanism.Name() != sasl.ScramSHA256 {
				t.Errorf("got %s of %v, want %s", mechanism.Name(), offered, sasl.ScramSHA256)
			}
			if err := sasl.Authenticate(t.Context(), mechanism, peer{r}); !errors.Is(err, tc.want) {
				t.Fatalf("got %v, want %v", err, tc.want)
			}
			if tc.want != nil {
				return
			}
			if hostname, err := r.hello(u.OpenName()); err != nil || hostname != daemon.Hostname {
				t.Errorf("host name: got %q, %v, want %s", hostname, err, daemon.Hostname)
			}
		})
	}
}

func TestSSHD(t *testing.T) {
	daemon := lab.Libvirtd(t, lab.Options{})
	sshd := lab.SSHD(t)
	t.Setenv("SSH_AUTH_SOCK", "")
	conn := reach(t, daemon, Dialer{}, sshd.URI(daemon, "test:///default"))
	if want := "ssh " + sshd.User + "@" + sshd.Addr; conn.Via != want || !conn.Encrypted {
		t.Errorf("got %s, encrypted %v, want %s", conn.Via, conn.Encrypted, want)
	}

	base := fmt.Sprintf("qemu+ssh://%s@%s/system?keyfile=%s&", sshd.User, sshd.Addr, sshd.KeyFile)
	_, _, err := dial(t, Dialer{}, base+"known_hosts="+sshd.WrongHosts)
	says(t, err, "someone may be listening in")

	conn, _, err = dial(t, Dialer{}, base+"known_hosts="+sshd.KnownHosts+"&socket="+t.TempDir()+"/none")
	if err != nil {
		t.Fatal(err)
	}
	_, err = newRPC(t, conn).open("qemu:///system")
	if !errors.Is(err, io.EOF) {
		t.Errorf("got %v, want one that wraps io.EOF", err)
	}
	says(t, err, "the remote command ended with status 1, saying: ", "No such file or directory")

	_, _, err = dial(t, Dialer{}, strings.Replace(base, sshd.User+"@", "stranger@", 1)+"known_hosts="+sshd.KnownHosts)
	says(t, err, "user stranger was not let in with", "authorized_keys")
}

// virt-ssh-helper, run as a real sshd runs it, comes back with its own words when there
// is no daemon.
func TestSSHDRunsVirtSSHHelper(t *testing.T) {
	lab.Require(t, "libvirtd")
	sshd := lab.SSHD(t)
	t.Setenv("SSH_AUTH_SOCK", "")
	conn, _, err := dial(t, Dialer{}, fmt.Sprintf("nosuch+ssh://%s@%s/system?keyfile=%s&known_hosts=%s&proxy=native",
		sshd.User, sshd.Addr, sshd.KeyFile, sshd.KnownHosts))
	if err != nil {
		t.Fatal(err)
	}
	_, err = newRPC(t, conn).open("nosuch:///system")
	if !errors.Is(err, io.EOF) {
		t.Errorf("got %v, want one that wraps io.EOF", err)
	}
	says(t, err, "virt-ssh-helper: ")
}

// virt-ssh-helper finds the session daemon of the user who logs in, from the URI alone.
func TestVirtSSHHelperReachesSessionDaemon(t *testing.T) {
	daemon := lab.Libvirtd(t, lab.Options{Session: true})
	runtime := t.TempDir()                                      // As the user's $XDG_RUNTIME_DIR on the remote host.
	if err := os.Mkdir(runtime+"/libvirt", 0o755); err != nil { //nolint:gosec // for the daemon's user
		t.Fatal(err)
	}
	if err := os.Symlink(daemon.Socket(), runtime+"/libvirt/libvirt-sock"); err != nil {
		t.Fatal(err)
	}
	home := sshHome(t)
	public, _ := writeKey(t, home+"/k")
	for _, dir := range []string{runtime, filepath.Dir(runtime), home} {
		if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // for the daemon's user
			t.Fatal(err)
		}
	}
	server := startSSH(t, &sshServer{exec: func(command string, stdio io.ReadWriter, stderr io.Writer) uint32 {
		return runAsDaemonUser(daemon, runtime, command, stdio, stderr)
	}}, public)
	for _, uri := range []string{"qemu+ssh://jo@%s/session", "qemu+ssh://jo@%s/session?mode=legacy"} {
		separator := "?"
		if strings.Contains(uri, "?") {
			separator = "&"
		}
		reach(t, daemon, Dialer{}, fmt.Sprintf(uri, server.address)+separator+"no_verify=1&keyfile="+home+"/k")
	}
}

// runAsDaemonUser does what sshd does with a command, for the user of the session daemon.
func runAsDaemonUser(daemon *lab.Daemon, runtime, line string, stdio io.ReadWriter, stderr io.Writer) uint32 {
	shell := command.New(context.Background(), time.Minute, "/bin/sh", "-c", line)
	shell.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+runtime, "LIBVIRT_AUTOSTART=0")
	shell.Stdout, shell.Stderr = stdio, stderr
	var owner syscall.Stat_t
	if err := syscall.Stat(daemon.Socket(), &owner); err == nil && os.Geteuid() == 0 {
		shell.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: owner.Uid, Gid: owner.Gid}}
	}
	stdin, err := shell.StdinPipe()
	if err != nil {
		return 255
	}
	if err := shell.Start(); err != nil {
		_, _ = io.WriteString(stderr, err.Error())
		return 255
	}
	_, _ = io.Copy(stdin, stdio)
	_ = stdin.Close()
	if err := shell.Wait(); err != nil {
		return 1
	}
	return 0
}
