package libvirt

import (
	"context"
	"log/slog"
	"net"
	"time"

	"github.com/virtcast/virtcast/drivers/libvirt/sasl"
	"github.com/virtcast/virtcast/internal/field"
)

// Defaults of [Config]: libvirtd's own for the keepalive.
const (
	DefaultCallTimeout       = 10 * time.Second
	DefaultKeepaliveInterval = 5 * time.Second
	DefaultKeepaliveCount    = 5
)

// Config describes one connection. The zero value of a duration or count means its
// default.
type Config struct {
	// Name is the connection's name in virtcast, for observations and errors.
	Name string
	// URI is the name that the daemon is asked to open, without transport and host:
	// "qemu:///system". Empty lets the daemon choose, which not every daemon does.
	URI string
	// Host stands in the source of events if the daemon states no host name of its own:
	// the host that is dialled.
	Host string
	// CallTimeout bounds every call, within its context.
	CallTimeout time.Duration
	// A daemon that is silent for KeepaliveInterval × KeepaliveCount, and in that time
	// leaves KeepaliveCount pings unanswered, is given up.
	KeepaliveInterval time.Duration
	KeepaliveCount    int
}

// Validate reports every fault, as *field.Error with paths relative to the connection.
func (c Config) Validate() error {
	var faults field.Faults
	if c.Name == "" {
		faults.Add("name", "give the connection a name", "missing")
	}
	if c.CallTimeout < 0 {
		faults.Add("call_timeout", "write a duration such as 10s", "%s is negative", c.CallTimeout)
	}
	if c.KeepaliveInterval < 0 {
		faults.Add("keepalive_interval", "write a duration such as 5s", "%s is negative", c.KeepaliveInterval)
	}
	if c.KeepaliveCount < 0 {
		faults.Add("keepalive_count", "write a number such as 5", "%d is negative", c.KeepaliveCount)
	}
	return faults.Err()
}

// withDefaults returns c with its zero values replaced.
func (c Config) withDefaults() Config {
	if c.CallTimeout == 0 {
		c.CallTimeout = DefaultCallTimeout
	}
	if c.KeepaliveInterval == 0 {
		c.KeepaliveInterval = DefaultKeepaliveInterval
	}
	if c.KeepaliveCount == 0 {
		c.KeepaliveCount = DefaultKeepaliveCount
	}
	return c
}

// Options is what the program injects. Only Dial is needed.
type Options struct {
	// Dial connects to the daemon, past TLS and its verdict byte where there is one: the
	// next byte is the RPC's. It ends with ctx. The session closes the connection; a
	// connection without deadlines (a subprocess's pipes, say) is legal.
	Dial func(ctx context.Context) (net.Conn, error)
	// SASL chooses a mechanism among those that the daemon offers, usually with
	// sasl.Choose. It is called only if the daemon wants SASL; nil refuses such a daemon.
	SASL func(offered []string) (sasl.Mechanism, error)
	// Log takes warnings about frames that were skipped; nil discards them.
	Log *slog.Logger
}
