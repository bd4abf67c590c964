package service

import (
	"context"
	"log/slog"
	"net"
	"time"

	"github.com/virtcast/virtcast/drivers"
	"github.com/virtcast/virtcast/drivers/libvirt"
	"github.com/virtcast/virtcast/drivers/libvirt/libvirttest"
	"github.com/virtcast/virtcast/internal/config"
)

// demo is a simulated hypervisor in this process, whose domains live through a scenario.
// The driver that watches it is the real one.
type demo struct{ server *libvirttest.Server }

func newDemo() *demo {
	return &demo{libvirttest.NewServer(libvirttest.Options{Hostname: "demo.localdomain"})}
}

// connection is the only one.
func (d *demo) connection() config.Connection {
	return config.Connection{Name: "demo", URI: d.server.URI()}
}

// drivers makes libvirt's driver with a dialler that reaches the server.
func (d *demo) drivers(log *slog.Logger) Drivers {
	return func(c config.Connection) (drivers.Driver, error) {
		driver, err := libvirt.NewFromURI(c.Name, c.URI, func(_ *libvirt.Config, options *libvirt.Options) {
			options.Dial = func(ctx context.Context) (net.Conn, error) { return d.server.DialContext(ctx, "", "") }
			options.Log = log
		})
		if err != nil {
			return nil, err
		}
		return driver, nil
	}
}

// run plays the scenario until ctx ends.
func (d *demo) run(ctx context.Context) error {
	return d.server.Scenario(ctx, libvirttest.ScenarioOptions{Seed: uint64(time.Now().UnixNano())})
}

func (d *demo) close() { d.server.Close() }
