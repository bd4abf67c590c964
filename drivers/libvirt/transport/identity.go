package transport

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// defaultKeys are the files in ~/.ssh that are tried without keyfile=.
var defaultKeys = []string{"id_ed25519", "id_ecdsa", "id_rsa"}

// identity is what an SSH login can be tried with.
type identity struct {
	signers []ssh.Signer
	// sources says where they came from, or why not, for messages.
	sources []string
	agent   net.Conn
	// release ends the hold that the context has on agent.
	release func() bool
}

// Close ends the connection to the agent.
func (id *identity) Close() {
	if id.agent != nil {
		id.release()
		_ = id.agent.Close()
	}
}

func (id *identity) note(format string, args ...any) {
	id.sources = append(id.sources, fmt.Sprintf(format, args...))
}

// identityFor gathers the keys: keyfile= first, then the agent's, then the default files.
// The caller closes it.
func identityFor(ctx context.Context, u *URI) (*identity, error) {
	id := &identity{}
	var fromAgent []ssh.Signer
	if u.mayUse(sshAuthAgent) {
		fromAgent = id.askAgent(ctx)
	}
	switch {
	case u.KeyFile != "":
		if err := id.addFile(u, fromAgent); err != nil {
			id.Close()
			return nil, err
		}
		id.signers = append(id.signers, fromAgent...)
	case u.mayUse(sshAuthKey):
		id.signers = append(id.signers, fromAgent...)
		id.addDefaults()
	default:
		id.signers = fromAgent
	}
	if cause := context.Cause(ctx); cause != nil {
		id.Close()
		return nil, u.fail("ssh login", cause, "")
	}
	if len(id.signers) == 0 {
		id.Close()
		return nil, u.fail("ssh login", fmt.Errorf("no key to log in with: %s", strings.Join(id.sources, ", ")),
			"give a key without a passphrase with keyfile=, or load one into an agent (ssh-add) and set SSH_AUTH_SOCK")
	}
	return id, nil
}

func (u *URI) mayUse(way string) bool { return u.SSHAuth == nil || slices.Contains(u.SSHAuth, way) }

// askAgent returns the agent's keys; a missing agent is noted, not an error.
func (id *identity) askAgent(ctx context.Context) []ssh.Signer {
	socket := os.Getenv("SSH_AUTH_SOCK")
	if socket == "" {
		id.note("no agent (SSH_AUTH_SOCK is not set)")
		return nil
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", socket)
	if err != nil {
		id.note("agent: %v", err)
		return nil
	}
	// The agent is asked again in the handshake, to sign.
	id.agent, id.release = conn, context.AfterFunc(ctx, func() { _ = conn.Close() })
	signers, err := agent.NewClient(conn).Signers()
	if err != nil {
		id.note("agent %s: %v", socket, err)
		return nil
	}
	id.note("%d keys of agent %s", len(signers), socket)
	return signers
}

// addFile adds the key of keyfile=. One with a passphrase is fine if the agent holds the
// same key.
func (id *identity) addFile(u *URI, fromAgent []ssh.Signer) error {
	signer, err := readKey(u.KeyFile)
	if err == nil {
		id.note("%s", u.KeyFile)
		id.signers = append(id.signers, signer)
		return nil
	}
	var locked *ssh.PassphraseMissingError
	if !errors.As(err, &locked) {
		return u.fail("ssh login", fmt.Errorf("key %s: %w", u.KeyFile, err), "keyfile= must be the path of a private key that this user can read")
	}
	if locked.PublicKey != nil {
		want := locked.PublicKey.Marshal()
		if slices.ContainsFunc(fromAgent, func(s ssh.Signer) bool { return slices.Equal(s.PublicKey().Marshal(), want) }) {
			id.note("%s (through the agent)", u.KeyFile)
			return nil
		}
	}
	return u.fail("ssh login", fmt.Errorf("key %s is protected by a passphrase", u.KeyFile),
		"virtcast never asks for one: load the key into an agent (ssh-add "+u.KeyFile+") and set SSH_AUTH_SOCK, or use a key without a passphrase")
}

// addDefaults adds those default files that are there and can be used.
func (id *identity) addDefaults() {
	dir := inHome(".ssh")
	if dir == "" {
		id.note("no default key files (%s)", noHome)
		return
	}
	for _, name := range defaultKeys {
		path := filepath.Join(dir, name)
		signer, err := readKey(path)
		var locked *ssh.PassphraseMissingError
		switch {
		case err == nil:
			id.note("%s", path)
			id.signers = append(id.signers, signer)
		case errors.Is(err, fs.ErrNotExist):
			id.note("%s (not there)", path)
		case errors.As(err, &locked):
			id.note("%s (has a passphrase, left out)", path)
		default:
			id.note("%s (%v)", path, err)
		}
	}
}

func readKey(path string) (ssh.Signer, error) {
	data, err := os.ReadFile(path) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, err
	}
	return ssh.ParsePrivateKey(data)
}

// loginName is the user to log in as: the URI's, or else the user who runs this
// process.
func loginName(u *URI) (string, error) {
	if u.User != "" {
		return u.User, nil
	}
	current, err := user.Current()
	if err == nil && current.Username != "" {
		return current.Username, nil
	}
	if name := os.Getenv("USER"); name != "" {
		return name, nil
	}
	return "", u.fail("ssh login", errors.New("the name of the current user is not known"), "name the user in the URI: qemu+ssh://user@host/system")
}
