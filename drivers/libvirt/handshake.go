package libvirt

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/virtcast/virtcast/drivers/libvirt/sasl"
	"github.com/virtcast/virtcast/drivers/libvirt/wire"
)

// maxAuthTypes is REMOTE_AUTH_TYPE_LIST_MAX.
const maxAuthTypes = 20

// chooser chooses a mechanism among those that the daemon offers.
type chooser = func(offered []string) (sasl.Mechanism, error)

// handshake takes the session from a bare connection to one that may register.
func (s *Session) handshake(ctx context.Context, choose chooser) error {
	if s.out == nil {
		return errors.New("no function to take the batches was given")
	}
	if err := s.authenticate(ctx, choose); err != nil {
		return err
	}
	// The only feature that may be asked for before CONNECT_OPEN. It makes the daemon
	// ping, and so give up a client that is gone. A daemon that refuses it is still
	// pinged by us.
	if _, err := s.feature(ctx, wire.FeatureKeepalive); err != nil && code(err) == 0 {
		return fmt.Errorf("ask for keepalive: %w", err)
	}
	var args wire.Encoder
	if s.config.URI == "" {
		args.Null()
	} else {
		args.OptionalString(s.config.URI)
	}
	args.Uint32(wire.OpenReadOnly)
	if _, err := s.call(ctx, wire.ProcConnectOpen, args.Payload()); err != nil {
		return fmt.Errorf("open %q read-only: %w", s.config.URI, err)
	}
	if err := s.identify(ctx); err != nil {
		return err
	}
	has, err := s.feature(ctx, wire.FeatureRemoteEventCallback)
	if err != nil && code(err) == 0 {
		return fmt.Errorf("ask for event callbacks: %w", err)
	}
	if !has {
		return fmt.Errorf("%w: the daemon is too old to give callbacks ids, version %d",
			ErrUnsupported, s.Hypervisor().LibVersion)
	}
	return nil
}

func (s *Session) feature(ctx context.Context, feature int32) (bool, error) {
	var args wire.Encoder
	args.Int32(feature)
	payload, err := s.call(ctx, wire.ProcConnectSupportsFeature, args.Payload())
	if err != nil {
		return false, err
	}
	d := wire.NewDecoder(payload)
	has := d.Int32()
	return has != 0, d.Err()
}

// authenticate does what the daemon asks for. AUTH_LIST comes first even where nothing
// will be asked: on a socket guarded by polkit, that call is what lets root through.
func (s *Session) authenticate(ctx context.Context, choose chooser) error {
	payload, err := s.call(ctx, wire.ProcAuthList, nil)
	if err != nil {
		return fmt.Errorf("ask for the authentication: %w", err)
	}
	d := wire.NewDecoder(payload)
	var offered []int32
	for range d.Count(maxAuthTypes, 4) {
		offered = append(offered, d.Int32())
	}
	if err := d.Err(); err != nil {
		return fmt.Errorf("ask for the authentication: %w", err)
	}
	polkit := slices.Contains(offered, wire.AuthPolkit)
	switch {
	case slices.Contains(offered, wire.AuthNone):
		return nil
	case slices.Contains(offered, wire.AuthSASL) && (choose != nil || !polkit):
		if err := s.authenticateSASL(ctx, choose); err != nil {
			return fmt.Errorf("authenticate with SASL: %w", err)
		}
		return nil
	case polkit:
		if _, err := s.call(ctx, wire.ProcAuthPolkit, nil); err != nil {
			return fmt.Errorf("authenticate with polkit: %w", err)
		}
		return nil
	default:
		return fmt.Errorf("authenticate: the daemon offers the types %v, want 0 (none), 1 (sasl) or 2 (polkit)", offered)
	}
}

func (s *Session) authenticateSASL(ctx context.Context, choose chooser) error {
	if choose == nil {
		return errors.New("the daemon wants a login, and none is configured")
	}
	payload, err := s.call(ctx, wire.ProcAuthSASLInit, nil)
	if err != nil {
		return err
	}
	d := wire.NewDecoder(payload)
	offered := d.String()
	if err := d.Err(); err != nil {
		return err
	}
	mechanism, err := choose(sasl.Parse(offered))
	if err != nil {
		return err
	}
	return sasl.Authenticate(ctx, mechanism, saslPeer{s})
}

// saslPeer carries SASL messages in libvirt's calls, where the flag is called nil and the
// data is an array of char.
type saslPeer struct{ session *Session }

var _ sasl.Peer = saslPeer{}

// SASLStart implements [sasl.Peer].
func (p saslPeer) SASLStart(ctx context.Context, mechanism string, data []byte, has bool) (sasl.Reply, error) {
	var args wire.Encoder
	args.String(mechanism)
	return p.send(ctx, wire.ProcAuthSASLStart, args, data, has)
}

// SASLStep implements [sasl.Peer].
func (p saslPeer) SASLStep(ctx context.Context, data []byte, has bool) (sasl.Reply, error) {
	return p.send(ctx, wire.ProcAuthSASLStep, wire.Encoder{}, data, has)
}

func (p saslPeer) send(ctx context.Context, procedure int32, args wire.Encoder, data []byte, has bool) (sasl.Reply, error) {
	if len(data) > wire.MaxSASLData {
		return sasl.Reply{}, fmt.Errorf("message of %d bytes, at most %d fit", len(data), wire.MaxSASLData)
	}
	args.Bool(!has)
	args.Chars(data)
	payload, err := p.session.call(ctx, procedure, args.Payload())
	if err != nil {
		return sasl.Reply{}, err
	}
	d := wire.NewDecoder(payload)
	r := sasl.Reply{Complete: d.Int32() != 0, Has: d.Int32() == 0, Data: d.Chars(wire.MaxSASLData)}
	return r, d.Err()
}
