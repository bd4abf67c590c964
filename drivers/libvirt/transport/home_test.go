package transport

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestNothingIsTakenFromTheWorkingDirectory holds that a user who can write where
// virtcast was started chooses neither the hosts, keys and authorities that it trusts nor
// the socket of the user's daemon: not without HOME, and not with a relative one.
func TestNothingIsTakenFromTheWorkingDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, dir := range []string{".", "rel"} {
		evil := newAuthority(t, "evil")
		evil.writeCA(dir + "/.pki/libvirt/cacert.pem")
		evil.writeRevocations(dir+"/.pki/libvirt/cacrl.pem", 2)
		evil.writePair(leaf(2), dir+"/.pki/libvirt/clientcert.pem", dir+"/.pki/libvirt/clientkey.pem")
		writeKey(t, dir+"/.ssh/id_ed25519")
		writeFile(t, dir+"/.ssh/known_hosts", []byte("* ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJBBqnr6DBBx7tdwUpZBXDnnYpXn6xdhs4I9CDo2nHkD\n"))
	}
	t.Setenv("SSH_AUTH_SOCK", "")
	u := mustParse(t, "qemu+ssh://jo@127.0.0.1/system")
	for _, home := range []string{"", ".", "rel"} {
		for _, xdg := range []string{"", ".", "rel"} {
			t.Run("HOME="+home+" XDG="+xdg, func(t *testing.T) {
				t.Setenv("HOME", home)
				for _, name := range []string{"XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"} {
					t.Setenv(name, xdg)
				}
				keys, err := hostKeysFor(u)
				if err == nil {
					t.Logf("the system has known hosts of its own: %s", keys.files)
					for _, file := range keys.files {
						wantAbsolute(t, file)
					}
				} else {
					says(t, err, "HOME is not set to an absolute path", ">> /etc/ssh/ssh_known_hosts")
				}
				_, err = identityFor(t.Context(), u)
				says(t, err, "no default key files (HOME is not set to an absolute path)")
				files := Dialer{euid: ordinary}.locate(mustParse(t, "qemu://h/system"))
				for _, file := range []string{files.ca, files.crl, files.cert, files.key} {
					wantAbsolute(t, file)
				}
				_, err = Dialer{euid: ordinary}.socketPaths(mustParse(t, "qemu:///session"))
				says(t, err, "neither XDG_RUNTIME_DIR nor HOME is set to an absolute path", "or name the socket with socket=")
			})
		}
	}
	home := t.TempDir()
	t.Setenv("HOME", home)
	for _, name := range []string{"XDG_RUNTIME_DIR", "XDG_CACHE_HOME"} {
		t.Setenv(name, "rel")
	}
	if got, err := sessionDir(); err != nil || got != home+"/.cache/libvirt" {
		t.Errorf("relative XDG directories: got %q, %v, want them ignored for %s", got, err, home)
	}
	if err := os.Unsetenv("HOME"); err != nil {
		t.Fatal(err)
	}
	if got := inHome(".ssh"); got != "" {
		t.Errorf("HOME not set at all: got %q", got)
	}
}

func wantAbsolute(t *testing.T, path string) {
	t.Helper()
	if !filepath.IsAbs(path) {
		t.Errorf("%s is taken from the working directory", path)
	}
}

// TestErrorsAreOneBoundedLine holds that what a server says in its refusal neither fills
// a log nor reaches a terminal as it is.
func TestErrorsAreOneBoundedLine(t *testing.T) {
	home := sshHome(t)
	public, _ := writeKey(t, home+"/k")
	server := startSSH(t, &sshServer{refusal: "no\n\x1b[2J level=INFO " + strings.Repeat("x", 200<<10)}, public)
	_, err := Dialer{}.Dial(t.Context(), mustParse(t, "qemu+ssh://jo@"+server.address+"/system?no_verify=1&keyfile="+home+"/k"))
	says(t, err, "to this user; and forward /var/run/libvirt/libvirt-sock-ro: ", "the server must allow a command")
	if text := err.Error(); len(text) > 4096 || strings.ContainsAny(text, "\n\r\x1b") {
		t.Errorf("%d bytes: %.200q", len(text), text)
	}
}
