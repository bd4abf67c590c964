package transport

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// hostKeys is what is known about the keys of SSH servers.
type hostKeys struct {
	files []string
	check ssh.HostKeyCallback
	// authorities are the lines, as file:line, that name a certificate authority.
	authorities map[string]bool
	callback    ssh.HostKeyCallback
	// algorithms is in the order in which the client wants them.
	algorithms []string
}

// hostKeysFor reads the known_hosts files.
func hostKeysFor(u *URI) (*hostKeys, error) {
	if u.NoVerify {
		return &hostKeys{callback: ssh.InsecureIgnoreHostKey()}, nil //nolint:gosec // no_verify=1 asks for exactly this
	}
	files, err := u.knownHostsFiles()
	if err != nil {
		return nil, err
	}
	k := &hostKeys{files: files}
	if k.check, err = knownhosts.New(files...); err == nil {
		k.authorities, err = authorityLines(files)
	}
	if err != nil {
		return nil, u.fail("read known hosts", err, keyscanHint(u, files[0], ""))
	}
	k.callback = func(address string, remote net.Addr, key ssh.PublicKey) error {
		if cert, ok := key.(*ssh.Certificate); ok {
			return u.explainKey(k, k.verifyCertificate(address, remote, cert), cert.Key)
		}
		return u.explainKey(k, k.check(address, remote, key), key)
	}
	plain, authorities := k.linesFor(u.knownAs())
	k.algorithms = prefer(plain, len(authorities) > 0)
	return k, nil
}

// knownHostsFiles returns the files that count: known_hosts= alone, else those of the
// user and of the system that exist.
func (u *URI) knownHostsFiles() ([]string, error) {
	if u.KnownHosts != "" {
		return []string{u.KnownHosts}, nil
	}
	candidates := []string{"/etc/ssh/ssh_known_hosts"}
	none := "no " + candidates[0] + ", and no ~/.ssh/known_hosts either: " + noHome
	if own := inHome(".ssh", "known_hosts"); own != "" {
		candidates = []string{own, candidates[0]}
		none = "neither " + strings.Join(candidates, " nor ") + " exists"
	}
	files := slices.DeleteFunc(slices.Clone(candidates), func(path string) bool { return !exists(path) })
	if len(files) == 0 {
		return nil, u.fail("read known hosts", errors.New(none), keyscanHint(u, candidates[0], ""))
	}
	return files, nil
}

// authorityLines finds the lines of known_hosts files that name a certificate authority.
func authorityLines(files []string) (map[string]bool, error) {
	lines := map[string]bool{}
	for _, path := range files {
		data, err := os.ReadFile(path) //nolint:gosec // the operator names the file
		if err != nil {
			return nil, err
		}
		for i, line := range bytes.Split(data, []byte("\n")) {
			if fields := bytes.Fields(line); len(fields) > 0 && string(fields[0]) == "@cert-authority" {
				lines[fmt.Sprintf("%s:%d", path, i+1)] = true
			}
		}
	}
	return lines, nil
}

// linesFor returns the lines that match a host: keys of its own, and authorities for it.
// They come from the checker, which is shown a key that it cannot know.
func (k *hostKeys) linesFor(address string) (plain, authorities []knownhosts.KnownKey) {
	stranger, err := ssh.NewPublicKey(ed25519.PublicKey(make([]byte, ed25519.PublicKeySize)))
	if err != nil {
		return nil, nil
	}
	var unfit *knownhosts.KeyError
	if !errors.As(k.check(address, &net.TCPAddr{IP: net.IPv4zero}, stranger), &unfit) {
		return nil, nil
	}
	return k.split(unfit.Want)
}

// split parts lines with a host's own keys from those with authorities.
func (k *hostKeys) split(lines []knownhosts.KnownKey) (plain, authorities []knownhosts.KnownKey) {
	for _, line := range lines {
		if k.authorities[lineOf(line)] {
			authorities = append(authorities, line)
		} else {
			plain = append(plain, line)
		}
	}
	return plain, authorities
}

func lineOf(k knownhosts.KnownKey) string { return fmt.Sprintf("%s:%d", k.Filename, k.Line) }

// verifyCertificate judges a host's certificate as OpenSSH does. If an authority for this
// host issued it, it must be in order. If not, it counts as the bare key that is in it,
// so that an authority for other hosts, or none, does not lock out a host whose key is
// known.
func (k *hostKeys) verifyCertificate(address string, remote net.Addr, cert *ssh.Certificate) error {
	issuer := cert.SignatureKey.Marshal()
	_, authorities := k.linesFor(address)
	if slices.ContainsFunc(authorities, func(a knownhosts.KnownKey) bool { return bytes.Equal(a.Key.Marshal(), issuer) }) {
		if err := k.check(address, remote, cert); err != nil {
			return &certificateError{err}
		}
		return nil
	}
	var revoked *knownhosts.RevokedError
	if err := k.check(address, remote, cert.SignatureKey); errors.As(err, &revoked) {
		return err
	}
	return k.check(address, remote, cert.Key)
}

// certificateError is the reason for refusing a host's certificate that a known authority
// issued.
type certificateError struct{ err error }

func (e *certificateError) Error() string { return "the host's certificate: " + e.err.Error() }

func (e *certificateError) Unwrap() error { return e.err }

// explainKey turns the checker's answer into one that an operator can act on.
func (u *URI) explainKey(k *hostKeys, err error, key ssh.PublicKey) error {
	const op = "check host key"
	var unfit *knownhosts.KeyError
	var revoked *knownhosts.RevokedError
	var certificate *certificateError
	shown := key.Type() + " key"
	fingerprint := ssh.FingerprintSHA256(key)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &certificate):
		return u.fail(op, err, "have the authority that known_hosts names issue the host a new certificate")
	case errors.As(err, &revoked):
		return u.fail(op, fmt.Errorf("the %s %s, or the authority that vouches for it, is revoked: %w", shown, fingerprint, err), "")
	case !errors.As(err, &unfit):
		return u.fail(op, err, "")
	}
	plain, authorities := k.split(unfit.Want)
	switch {
	case len(plain) > 0:
		return u.fail(op, fmt.Errorf("the host's %s is %s, but %s has %s: %w", shown, fingerprint, lineOf(plain[0]), ssh.FingerprintSHA256(plain[0].Key), err),
			"someone may be listening in; if the host's key was changed on purpose, replace that line")
	case len(authorities) > 0:
		return u.fail(op, fmt.Errorf("the authority in %s does not vouch for the host's %s %s: %w", lineOf(authorities[0]), shown, fingerprint, err),
			"someone may be listening in; else have that authority issue the host a certificate, or "+keyscanHint(u, k.files[0], key.Type()))
	default:
		return u.fail(op, fmt.Errorf("the host is not in %s; its %s is %s: %w", strings.Join(k.files, " or "), shown, fingerprint, err),
			keyscanHint(u, k.files[0], key.Type()))
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

// prefer orders the algorithms: those that the known keys can use first, so that a server
// with several keys shows the one that is known. Certificates come before those only if
// an authority for this host is known.
func prefer(plain []knownhosts.KnownKey, authorities bool) []string {
	all := slices.Clone(ssh.SupportedAlgorithms().HostKeys)
	rank := func(algorithm string) int {
		switch certificate := strings.Contains(algorithm, "-cert-"); {
		case certificate && authorities:
			return 0
		case !certificate && slices.ContainsFunc(plain, func(k knownhosts.KnownKey) bool { return keyType(algorithm) == k.Key.Type() }):
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
