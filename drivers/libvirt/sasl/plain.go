package sasl

import (
	"errors"
	"strings"
)

// plain is PLAIN: one message, no proof from the server.
type plain struct {
	message []byte
	sent    bool
}

var _ Mechanism = (*plain)(nil)

func newPlain(c Credentials) (*plain, error) {
	if strings.ContainsRune(c.AuthorizeAs+c.Username+c.Password, 0) {
		return nil, errors.New("user name or password holds a NUL byte, which PLAIN cannot carry")
	}
	return &plain{message: []byte(c.AuthorizeAs + "\x00" + c.Username + "\x00" + c.Password)}, nil
}

// Name returns PLAIN.
func (p *plain) Name() string { return Plain }

// Start returns the only message.
func (p *plain) Start() ([]byte, bool, error) {
	p.sent = true
	return p.message, true, nil
}

// Step fails: there is no challenge in PLAIN.
func (p *plain) Step([]byte) ([]byte, bool, error) {
	return nil, false, errors.New("the daemon sent a challenge, which PLAIN does not have")
}

// Done is true once the message is out.
func (p *plain) Done() bool { return p.sent }
