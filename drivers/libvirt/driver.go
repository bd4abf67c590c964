package libvirt

import (
	"context"
	"errors"

	"github.com/virtcast/virtcast/drivers"
	"github.com/virtcast/virtcast/schema"
)

// Driver opens sessions of one connection. It holds nothing between them and may be used
// by several goroutines.
type Driver struct {
	config  Config
	options Options
}

var _ drivers.Driver = (*Driver)(nil)

// New returns the driver of a connection. It starts nothing. config should have passed
// Validate; Open reports what it did not.
func New(config Config, options Options) *Driver {
	return &Driver{config: config.withDefaults(), options: options}
}

// Open dials, authenticates, opens the hypervisor read-only and learns who it is. It
// blocks until then or until ctx ends; ctx does not matter to the session. Any error is
// an [*Error], and leaves nothing behind.
//
// libvirt keeps no history, so the position is ignored. The session is a [*Session].
//
// out is called by the session's reader: one call at a time, in the order of the wire,
// with at most 64 observations. It must not block, and must not call the session, whose
// answers the same goroutine reads. Received is the time at which the bytes that
// completed the frame were read: frames that came in one read share it.
func (d *Driver) Open(ctx context.Context, _ schema.Position, out func(drivers.Batch)) (drivers.Session, error) {
	s, err := d.open(ctx, out)
	if err != nil {
		return nil, err // Not s: a nil *Session would be a Session that is not nil.
	}
	return s, nil
}

func (d *Driver) open(ctx context.Context, out func(drivers.Batch)) (*Session, error) {
	if err := d.config.Validate(); err != nil {
		return nil, wrap(d.config.Name, "open", err)
	}
	if d.options.Dial == nil {
		return nil, wrap(d.config.Name, "open", errors.New("no way to dial was given"))
	}
	conn, err := d.options.Dial(ctx)
	if err != nil {
		return nil, &Error{Op: "dial", Connection: d.config.Name, Err: err} // dialers give hints of their own
	}
	s := newSession(conn, d.config, d.options, out)
	s.start() //nolint:contextcheck // ctx ends the opening only; the session outlives it
	if err := s.handshake(ctx, d.options.SASL); err != nil {
		s.end(err)
		<-s.done
		return nil, wrap(d.config.Name, "open", err)
	}
	s.startKeepalive()
	return s, nil
}
