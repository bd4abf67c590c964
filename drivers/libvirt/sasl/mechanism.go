package sasl

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/virtcast/virtcast/drivers/libvirt/peertext"
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

// mechanism is a row of the table of mechanisms.
type mechanism struct {
	name string
	// shows: the server sees the password.
	shows bool
	start func(Credentials) (Mechanism, error)
}

// mechanisms are in the order of preference.
var mechanisms = []mechanism{
	{ScramSHA256, false, func(c Credentials) (Mechanism, error) { return newScram(c) }},
	{Plain, true, func(c Credentials) (Mechanism, error) { return newPlain(c) }},
}

var (
	// ErrNoMechanism is returned when the daemon offers no mechanism that virtcast has.
	ErrNoMechanism = errors.New("no SASL mechanism in common")
	// ErrNotEncrypted is returned when SASL is asked for on a connection that others on
	// the network can read, which is plain TCP.
	ErrNotEncrypted = errors.New("SASL on an unencrypted connection is refused")
	// ErrNotVerified is returned when every mechanism in common would show the password
	// to a server that may be anybody.
	ErrNotVerified = errors.New("the password is not shown to a server that was not verified")
)

// Channel is what is known of the connection that a login goes over. The zero value is
// the worst case.
type Channel struct {
	// Encrypted: nobody on the network can read along (TLS, SSH, a unix socket).
	Encrypted bool
	// Verified: the peer is the daemon that was meant. Its certificate or host key was
	// checked, or it is local.
	Verified bool
}

// Choose returns the best mechanism among those that the daemon offered: SCRAM-SHA-256,
// else PLAIN, which shows the password and so needs a verified channel. The error wraps
// [ErrNotEncrypted], [ErrNoMechanism], [ErrNotVerified] or [ErrNoCredentials] and names
// the cure.
func Choose(offered []string, creds Credentials, channel Channel) (Mechanism, error) {
	if !channel.Encrypted {
		return nil, fmt.Errorf("%w: the daemon offers %s and wants a SASL security layer here, which virtcast does not have; use tls (qemu://host/system) or ssh (qemu+ssh://host/system)",
			ErrNotEncrypted, list(offered))
	}
	common := slices.Clone(mechanisms)
	common = slices.DeleteFunc(common, func(m mechanism) bool { return !contains(offered, m.name) })
	if len(common) == 0 {
		return nil, fmt.Errorf("%w: the daemon offers %s, virtcast has %s and %s; add scram-sha-256 to mech_list in the daemon's /etc/sasl2/libvirt.conf",
			ErrNoMechanism, list(offered), ScramSHA256, Plain)
	}
	if !channel.Verified {
		common = slices.DeleteFunc(common, func(m mechanism) bool { return m.shows })
	}
	if len(common) == 0 {
		return nil, fmt.Errorf("%w: the daemon offers %s, of which virtcast has only %s; remove no_verify=1 (over ssh also known_hosts_verify=ignore) from the uri and install the authority's certificate (over ssh the host's key), or add scram-sha-256 to mech_list in the daemon's /etc/sasl2/libvirt.conf",
			ErrNotVerified, list(offered), Plain)
	}
	if creds.Username == "" {
		return nil, fmt.Errorf("%w for %s: the user name is empty; write username= and password= into the authentication file", ErrNoCredentials, common[0].name)
	}
	return common[0].start(creds)
}

// maxText bounds what an error quotes of the daemon, in bytes.
const maxText = 256

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
	return peertext.Line(strings.Join(offered, ", "), maxText)
}
