package transport

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

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

func TestLoginName(t *testing.T) {
	if got, err := loginName(mustParse(t, "qemu+ssh://jo@h/system")); err != nil || got != "jo" {
		t.Errorf("got %q, %v, want jo", got, err)
	}
	if got, err := loginName(mustParse(t, "qemu+ssh://h/system")); err != nil || got == "" {
		t.Errorf("got %q, %v, want the current user", got, err)
	}
}

// An agent that never answers holds nobody up: neither when it is asked for its keys, nor
// when it is to sign.
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
