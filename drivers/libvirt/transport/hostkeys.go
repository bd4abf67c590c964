package transport

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// hostKeys is what is known about the keys of SSH servers.
type hostKeys struct {
	files    []string
	callback ssh.HostKeyCallback
	// algorithms is in the order in which the client wants them.
	algorithms []string
}

// hostKeysFor reads the known_hosts files.
func hostKeysFor(u *URI) (*hostKeys, error) {
	if u.NoVerify {
		return &hostKeys{callback: ssh.InsecureIgnoreHostKey()}, nil //nolint:gosec // no_verify=1 asks for exactly this
	}
	k := &hostKeys{files: []string{u.KnownHosts}}
	if u.KnownHosts == "" {
		candidates := []string{filepath.Join(home(), ".ssh", "known_hosts"), "/etc/ssh/ssh_known_hosts"}
		k.files = slices.DeleteFunc(slices.Clone(candidates), func(path string) bool { return !exists(path) })
		if len(k.files) == 0 {
			return nil, u.fail("read known hosts", fmt.Errorf("neither %s exists", strings.Join(candidates, " nor ")), keyscanHint(u, candidates[0], ""))
		}
	}
	check, err := knownhosts.New(k.files...)
	if err != nil {
		return nil, u.fail("read known hosts", err, keyscanHint(u, k.files[0], ""))
	}
	k.callback = func(address string, remote net.Addr, key ssh.PublicKey) error {
		return u.explainKey(k, check(address, remote, key), key)
	}
	k.algorithms = prefer(k.knownTypes(u, check), k.hasAuthorities())
	return k, nil
}

// explainKey turns the checker's answer into one that an operator can act on.
func (u *URI) explainKey(k *hostKeys, err error, key ssh.PublicKey) error {
	var unfit *knownhosts.KeyError
	var revoked *knownhosts.RevokedError
	fingerprint := ssh.FingerprintSHA256(key)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &revoked):
		return u.fail("check host key", fmt.Errorf("the %s key %s is revoked: %w", key.Type(), fingerprint, err), "")
	case errors.As(err, &unfit) && len(unfit.Want) == 0:
		return u.fail("check host key", fmt.Errorf("the host is not in %s; its %s key is %s: %w", strings.Join(k.files, " or "), key.Type(), fingerprint, err),
			keyscanHint(u, k.files[0], key.Type()))
	case errors.As(err, &unfit):
		want := unfit.Want[0]
		return u.fail("check host key", fmt.Errorf("the host's %s key is %s, but %s:%d has %s: %w", key.Type(), fingerprint, want.Filename, want.Line, ssh.FingerprintSHA256(want.Key), err),
			"someone may be listening in; if the host's key was changed on purpose, replace that line")
	default:
		return u.fail("check host key", err, "")
	}
}

func keyscanHint(u *URI, file, keyType string) string {
	command := "ssh-keyscan"
	if u.Port != 0 && u.Port != 22 {
		command += fmt.Sprintf(" -p %d", u.Port)
	}
	if keyType != "" {
		command += " -t " + strings.TrimPrefix(strings.TrimPrefix(keyType, "ssh-"), "sk-")
	}
	return "compare the fingerprint on the host (ssh-keygen -lf /etc/ssh/ssh_host_*_key.pub), then run " + command + " " + u.host() + " >> " + file
}

// knownTypes asks the checker which types of key it knows for the host, by showing it one
// that it cannot know.
func (k *hostKeys) knownTypes(u *URI, check ssh.HostKeyCallback) []string {
	stranger, err := ssh.NewPublicKey(ed25519.PublicKey(make([]byte, ed25519.PublicKeySize)))
	if err != nil {
		return nil
	}
	var unfit *knownhosts.KeyError
	if !errors.As(check(u.knownAs(), &net.TCPAddr{IP: net.IPv4zero}, stranger), &unfit) {
		return nil
	}
	var types []string
	for _, known := range unfit.Want {
		types = append(types, known.Key.Type())
	}
	return types
}

// hasAuthorities says whether a file names certificate authorities.
func (k *hostKeys) hasAuthorities() bool {
	return slices.ContainsFunc(k.files, func(path string) bool {
		data, err := os.ReadFile(path)
		return err == nil && strings.Contains(string(data), "@cert-authority")
	})
}

// prefer orders the algorithms: those that the known keys can use first, so that a server
// with several keys shows the one that is known. Certificates come before those only if
// an authority is known.
func prefer(types []string, authorities bool) []string {
	all := slices.Clone(ssh.SupportedAlgorithms().HostKeys)
	rank := func(algorithm string) int {
		switch certificate := strings.Contains(algorithm, "-cert-"); {
		case certificate && authorities:
			return 0
		case !certificate && slices.ContainsFunc(types, func(t string) bool { return keyType(algorithm) == t }):
			return 1
		case !certificate:
			return 2
		default:
			return 3
		}
	}
	slices.SortStableFunc(all, func(a, b string) int { return rank(a) - rank(b) })
	return all
}

// keyType returns the type of the key that an algorithm signs with.
func keyType(algorithm string) string {
	if algorithm == ssh.KeyAlgoRSASHA256 || algorithm == ssh.KeyAlgoRSASHA512 {
		return ssh.KeyAlgoRSA
	}
	return algorithm
}
