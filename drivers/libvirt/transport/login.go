package transport

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"golang.org/x/crypto/ssh"
)

// knownAs is the address under which the host stands in known_hosts: in lower case.
func (u *URI) knownAs() string { return strings.ToLower(u.address()) }

// login runs the SSH handshake on conn, which the caller closes on error.
func (u *URI) login(conn net.Conn, user string, keys *hostKeys, id *identity) (*ssh.Client, error) {
	config := &ssh.ClientConfig{
		User:              user,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(id.signers...)},
		HostKeyCallback:   keys.callback,
		HostKeyAlgorithms: keys.algorithms,
	}
	connection, channels, requests, err := ssh.NewClientConn(conn, u.knownAs(), config)
	if err == nil {
		return ssh.NewClient(connection, channels, requests), nil
	}
	var hostKey *Error
	if errors.As(err, &hostKey) {
		return nil, hostKey
	}
	if strings.Contains(err.Error(), "unable to authenticate") { // The package has no type for it.
		return nil, u.fail("ssh login", fmt.Errorf("user %s was not let in with %s: %w", user, strings.Join(id.sources, ", "), err),
			"put the public key into ~"+user+"/.ssh/authorized_keys on the host, or name another user or key (user@, keyfile=)")
	}
	return nil, u.fail("ssh handshake", err, "")
}
