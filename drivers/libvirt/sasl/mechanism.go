package sasl

import (
	"errors"
	"fmt"
	"strings"
)

// Mechanism is one authentication attempt, from the client's side. It is used once, from
// one goroutine. has tells a message that is there but empty from none at all (the nil
// flag of libvirt's calls). Nothing blocks, but Step of SCRAM computes for some
// milliseconds.
type Mechanism interface {
	// Name is the mechanism's name as the daemon spells it.
	Name() string
	// Start returns the initial response, sent along with the name.
	Start() (data []byte, has bool, err error)
	// Step answers a challenge. The challenge is only read.
	Step(challenge []byte) (response []byte, has bool, err error)
	// Done reports that the mechanism has nothing more to send or to check. Where the
	// mechanism lets the server prove itself, it did. An attempt has succeeded only when
	// the daemon says complete and Done is true.
	Done() bool
}

// The mechanisms, in the order of preference.
const (
	ScramSHA256 = "SCRAM-SHA-256"
	Plain       = "PLAIN"
)

var (
	// ErrNoMechanism is returned when the daemon offers no mechanism that virtcast has.
	ErrNoMechanism = errors.New("no SASL mechanism in common")
	// ErrNotEncrypted is returned when SASL is asked for on a connection that others on
	// the network can read, which is plain TCP.
	ErrNotEncrypted = errors.New("SASL on an unencrypted connection is refused")
)

// Choose returns the best mechanism among those that the daemon offered: SCRAM-SHA-256,
// else PLAIN. encrypted says that nobody on the network can read the connection (TLS,
// SSH, a unix socket). The error wraps [ErrNotEncrypted], [ErrNoMechanism] or
// [ErrNoCredentials] and names the cure.
func Choose(offered []string, creds Credentials, encrypted bool) (Mechanism, error) {
	if !encrypted {
		return nil, fmt.Errorf("%w: the daemon offers %s and wants a SASL security layer here, which virtcast does not have; use tls (qemu://host/system) or ssh (qemu+ssh://host/system)",
			ErrNotEncrypted, list(offered))
	}
	var name string
	switch {
	case contains(offered, ScramSHA256):
		name = ScramSHA256
	case contains(offered, Plain):
		name = Plain
	default:
		return nil, fmt.Errorf("%w: the daemon offers %s, virtcast has %s and %s; add scram-sha-256 to mech_list in the daemon's /etc/sasl2/libvirt.conf",
			ErrNoMechanism, list(offered), ScramSHA256, Plain)
	}
	if creds.Username == "" {
		return nil, fmt.Errorf("%w for %s: the user name is empty; write username= and password= into the authentication file", ErrNoCredentials, name)
	}
	if name == Plain {
		return newPlain(creds)
	}
	return newScram(creds)
}

// Parse splits the list of mechanisms that the daemon sends, separated by commas.
func Parse(offered string) []string {
	return strings.FieldsFunc(offered, func(r rune) bool { return r == ',' || r == ' ' })
}

func contains(offered []string, name string) bool {
	for _, o := range offered {
		if strings.EqualFold(o, name) {
			return true
		}
	}
	return false
}

func list(offered []string) string {
	if len(offered) == 0 {
		return "no mechanism"
	}
	return strings.Join(offered, ", ")
}
