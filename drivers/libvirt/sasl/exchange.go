package sasl

import (
	"context"
	"errors"
	"fmt"
)

// Reply is what the daemon answers to a message.
type Reply struct {
	// Complete says that the daemon is satisfied.
	Complete bool
	// Data is the challenge, meaningful if Has is true; it may be empty.
	Data []byte
	Has  bool
}

// Peer carries the messages to the daemon: AUTH_SASL_START and AUTH_SASL_STEP. Both block
// until the reply or until ctx ends.
type Peer interface {
	SASLStart(ctx context.Context, mechanism string, data []byte, has bool) (Reply, error)
	SASLStep(ctx context.Context, data []byte, has bool) (Reply, error)
}

// maxRounds bounds an exchange with a daemon that never finishes. SCRAM takes 3.
const maxRounds = 8

// ErrServerUnproven is returned when the daemon says complete without the proof that the
// mechanism asks of it: it may not be the daemon that it claims to be.
var ErrServerUnproven = errors.New("the daemon accepted the login without proving that it knows the password")

// Authenticate runs one attempt to its end. It returns nil only when the daemon said
// complete and the mechanism is done. It blocks as long as peer does.
func Authenticate(ctx context.Context, m Mechanism, peer Peer) error {
	data, has, err := m.Start()
	if err != nil {
		return fmt.Errorf("start %s: %w", m.Name(), err)
	}
	reply, err := peer.SASLStart(ctx, m.Name(), data, has)
	for range maxRounds {
		if err != nil {
			return err
		}
		if reply.Complete && m.Done() {
			return nil
		}
		if reply.Complete && !reply.Has {
			return ErrServerUnproven
		}
		if data, has, err = m.Step(reply.Data); err != nil {
			return err
		}
		if reply.Complete {
			if !m.Done() {
				return ErrServerUnproven
			}
			return nil
		}
		reply, err = peer.SASLStep(ctx, data, has)
	}
	return fmt.Errorf("%s did not end after %d messages", m.Name(), maxRounds)
}
