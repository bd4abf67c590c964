package libvirt

import (
	"context"
	"net"

	"github.com/virtcast/virtcast/drivers/libvirt/sasl"
	"github.com/virtcast/virtcast/drivers/libvirt/transport"
)

// NewFromURI returns the driver of the connection called name at a libvirt connection
// URI, such as qemu:///system or qemu+tls://kvm01.example.com/system. It starts nothing.
// It fails for a URI that package transport cannot parse.
//
// The driver dials as the URI says: a unix socket, TCP, TLS or SSH. Where the daemon
// wants SASL, the credentials are those of libvirt's own authentication file (see
// sasl.Find), and a password is sent only over a transport that nobody can read along, to a
// daemon whose certificate or host key was verified.
//
// Each adjust may change what follows from the URI, before the driver is made:
//
//	libvirt.NewFromURI("kvm01", uri, func(c *libvirt.Config, o *libvirt.Options) {
//		c.KeepaliveInterval = 10 * time.Second
//		o.Log = log
//	})
func NewFromURI(name, uri string, adjust ...func(*Config, *Options)) (*Driver, error) {
	u, err := transport.ParseURI(uri)
	if err != nil {
		return nil, err
	}
	config := Config{Name: name, URI: u.OpenName(), Host: u.Host}
	options := Options{
		Dial: func(ctx context.Context) (net.Conn, error) {
			conn, err := transport.Dialer{}.Dial(ctx, u)
			if err != nil {
				return nil, err // Not conn: it may be a nil of a concrete type.
			}
			return conn, nil
		},
		SASL: func(offered []string) (sasl.Mechanism, error) {
			credentials, err := sasl.Find(u.AuthFile, u.Host)
			if err != nil {
				return nil, err
			}
			return sasl.Choose(offered, credentials, sasl.Channel{Encrypted: u.Transport.Encrypted(), Verified: u.Verified()})
		},
	}
	for _, f := range adjust {
		f(&config, &options)
	}
	return New(config, options), nil
}
