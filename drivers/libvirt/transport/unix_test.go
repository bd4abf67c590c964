package transport

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func mustParse(t *testing.T, s string) *URI {
	t.Helper()
	u, err := ParseURI(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func root() int     { return 0 }
func ordinary() int { return 1000 }

// listen makes a socket that accepts until the test ends.
func listen(t *testing.T, path string) {
	t.Helper()
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
}

func TestSocketPaths(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", "/xdg")
	tests := map[string]struct {
		uri  string
		euid func() int
		want []string
	}{
		"system, auto": {"qemu:///system", ordinary, []string{
			"/a/virtqemud-sock-ro", "/b/virtqemud-sock-ro", "/a/virtqemud-sock", "/b/virtqemud-sock",
			"/a/libvirt-sock-ro", "/b/libvirt-sock-ro", "/a/libvirt-sock", "/b/libvirt-sock",
		}},
		"system, direct":      {"xen:///?mode=direct", root, []string{"/a/virtxend-sock-ro", "/b/virtxend-sock-ro", "/a/virtxend-sock", "/b/virtxend-sock"}},
		"system, legacy":      {"qemu:///system?mode=legacy", root, []string{"/a/libvirt-sock-ro", "/b/libvirt-sock-ro", "/a/libvirt-sock", "/b/libvirt-sock"}},
		"session, ordinary":   {"qemu:///session", ordinary, []string{"/xdg/libvirt/virtqemud-sock", "/xdg/libvirt/libvirt-sock"}},
		"session, root":       {"qemu:///session?mode=legacy", root, []string{"/a/libvirt-sock-ro", "/b/libvirt-sock-ro", "/a/libvirt-sock", "/b/libvirt-sock"}},
		"test driver":         {"test:///default", ordinary, []string{"/xdg/libvirt/libvirt-sock"}},
		"test driver as root": {"test:///default", root, []string{"/a/libvirt-sock-ro", "/b/libvirt-sock-ro", "/a/libvirt-sock", "/b/libvirt-sock"}},
		"a socket by name":    {"qemu:///session?socket=/x/y", ordinary, []string{"/x/y"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			d := Dialer{RunDirs: []string{"/a", "/b"}, euid: tc.euid}
			got, err := d.socketPaths(mustParse(t, tc.uri))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("sockets (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSessionDirWithoutXDG(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", "")
	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("HOME", "/home/jo")
	got, err := Dialer{euid: ordinary}.socketPaths(mustParse(t, "lxc:///session?mode=legacy"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"/home/jo/.cache/libvirt/libvirt-sock"}, got); diff != "" {
		t.Errorf("sockets (-want +got):\n%s", diff)
	}
	t.Setenv("HOME", "")
	_, err = Dialer{euid: ordinary}.socketPaths(mustParse(t, "lxc:///session"))
	if err == nil || !strings.Contains(err.Error(), "set XDG_RUNTIME_DIR or HOME") {
		t.Errorf("got %v, want the cure", err)
	}
}

func TestDialUnixTakesTheBestSocket(t *testing.T) {
	dir := t.TempDir()
	d := Dialer{RunDirs: []string{dir}, euid: root}
	u := mustParse(t, "qemu:///system")
	for _, name := range []string{"libvirt-sock", "libvirt-sock-ro", "virtqemud-sock", "virtqemud-sock-ro"} { // worst first
		listen(t, filepath.Join(dir, name))
		conn, err := d.Dial(t.Context(), u)
		if err != nil {
			t.Fatal(err)
		}
		if want := "unix " + filepath.Join(dir, name); conn.Via != want || conn.Kind != Unix || !conn.Encrypted {
			t.Errorf("got %s %s %v, want %s", conn.Kind, conn.Via, conn.Encrypted, want)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A socket that a dead daemon left behind does not stand in the way of a living one.
func TestDialUnixPassesDeadSockets(t *testing.T) {
	dir := t.TempDir()
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "virtqemud-sock-ro")})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	d := Dialer{RunDirs: []string{dir}, euid: root}
	u := mustParse(t, "qemu:///system")
	_, err = d.Dial(t.Context(), u)
	if !errors.Is(err, syscall.ECONNREFUSED) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want refused and not-exist", err)
	}
	for _, want := range []string{"virtqemud-sock-ro (connection refused)", "libvirt-sock (no such file or directory)", "not running"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want it to say %q", err, want)
		}
	}
	listen(t, filepath.Join(dir, "libvirt-sock"))
	conn, err := d.Dial(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
}

func TestSocketHints(t *testing.T) {
	tests := map[string]struct {
		uri  string
		euid func() int
		err  error
		want string
	}{
		"permission": {"qemu:///system", ordinary, os.ErrPermission, "join the group libvirt"},
		"socket":     {"qemu:///system?socket=/x", ordinary, os.ErrNotExist, "is socket= its path"},
		"session":    {"qemu:///session", ordinary, os.ErrNotExist, "session daemon is not running"},
		"system":     {"qemu:///system", ordinary, os.ErrNotExist, "start libvirtd"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := Dialer{euid: tc.euid}.socketHint(mustParse(t, tc.uri), tc.err)
			if !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want it to say %q", got, tc.want)
			}
		})
	}
}

func TestDialEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, uri := range []string{"qemu:///system?socket=/nowhere", "qemu+tcp://127.0.0.1:1/system", "qemu://127.0.0.1:1/system?no_verify=1"} {
		_, err := Dialer{}.Dial(ctx, mustParse(t, uri))
		var failed *Error
		if !errors.Is(err, context.Canceled) || !errors.As(err, &failed) {
			t.Errorf("%s: got %v, want an *Error that wraps context.Canceled", uri, err)
		}
	}
}

func TestDialTCP(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	u := mustParse(t, "qemu+tcp://"+address+"/system")
	conn, err := Dialer{}.Dial(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	if conn.Kind != TCP || conn.Encrypted || conn.Via != "tcp "+address {
		t.Errorf("got %s %v %s, want an unencrypted tcp connection to %s", conn.Kind, conn.Encrypted, conn.Via, address)
	}
	_ = conn.Close()
	_ = listener.Close()
	if _, err = (Dialer{}).Dial(t.Context(), u); err == nil || !strings.Contains(err.Error(), "libvirtd-tcp.socket") {
		t.Errorf("got %v, want a refusal with its cure", err)
	}
}
