package sasl

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/xdg-go/scram"

	"github.com/virtcast/virtcast/drivers/libvirt/peertext"
)

// The number of hash iterations that a server may ask for. Fewer would make a recorded
// exchange cheap to guess from (RFC 7677, section 4); more would let a server keep us
// computing: the most takes under half a second.
const (
	minIterations = 4096
	maxIterations = 1 << 20
)

// scramClient is SCRAM-SHA-256 without channel binding.
type scramClient struct {
	conversation *scram.ClientConversation
}

var _ Mechanism = (*scramClient)(nil)

func newScram(c Credentials) (*scramClient, error) {
	client, err := scram.SHA256.NewClient(c.Username, c.Password, c.AuthorizeAs)
	if err != nil {
		return nil, fmt.Errorf("prepare user name and password for %s: %w", ScramSHA256, err)
	}
	return &scramClient{conversation: client.WithMinIterations(minIterations).NewConversation()}, nil
}

// Name returns SCRAM-SHA-256.
func (s *scramClient) Name() string { return ScramSHA256 }

// Start returns the user name and a nonce.
func (s *scramClient) Start() ([]byte, bool, error) {
	first, err := s.conversation.Step("")
	return []byte(first), true, err
}

// Step proves to the server that the password is known, then checks the proof of the
// server.
func (s *scramClient) Step(challenge []byte) ([]byte, bool, error) {
	if err := checkIterations(string(challenge)); err != nil {
		return nil, false, err
	}
	response, err := s.conversation.Step(string(challenge))
	if err != nil {
		// The reason may quote what the server sent, so it is not wrapped.
		return nil, false, fmt.Errorf("%s: %s", ScramSHA256, peertext.Line(err.Error(), maxText))
	}
	if s.conversation.Done() {
		return nil, false, nil // The server's signature was right, and there is no answer to it.
	}
	return []byte(response), true, nil
}

// Done is true once the server's signature was checked and found right.
func (s *scramClient) Done() bool { return s.conversation.Valid() }

// checkIterations looks for the iteration count of a server's first message.
func checkIterations(challenge string) error {
	for attribute := range strings.SplitSeq(challenge, ",") {
		count, ok := strings.CutPrefix(attribute, "i=")
		if !ok {
			continue
		}
		n, err := strconv.Atoi(count)
		if err != nil {
			return errors.New("the server's iteration count is not a number")
		}
		if n > maxIterations {
			return fmt.Errorf("the server wants %d iterations, more than the %d that virtcast computes", n, maxIterations)
		}
	}
	return nil
}
