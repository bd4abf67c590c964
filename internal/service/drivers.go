package service

import (
	"fmt"
	"log/slog"

	"github.com/virtcast/virtcast/drivers"
	"github.com/virtcast/virtcast/drivers/libvirt"
	"github.com/virtcast/virtcast/internal/config"
)

// Drivers makes the driver of a connection.
type Drivers func(config.Connection) (drivers.Driver, error)

// driverKind is one row of the table of drivers.
type driverKind struct {
	kind string
	// serves reports whether the driver understands a URI.
	serves func(uri string) bool
	make   func(c config.Connection, log *slog.Logger) (drivers.Driver, error)
}

// driverKinds is the table. The first row that serves a URI makes its driver. libvirt is
// last: it serves every URI, and explains what it cannot parse.
func driverKinds() []driverKind {
	return []driverKind{
		{"libvirt", func(string) bool { return true }, libvirtDriver},
	}
}

// DriversByURI makes drivers by the table of drivers.
func DriversByURI(log *slog.Logger) Drivers {
	return func(c config.Connection) (drivers.Driver, error) {
		for _, row := range driverKinds() {
			if row.serves(c.URI) {
				return row.make(c, log)
			}
		}
		return nil, fmt.Errorf("no driver serves %s", c.URI)
	}
}

// libvirtDriver makes libvirt's driver; adjust may change it further.
func libvirtDriver(c config.Connection, log *slog.Logger) (drivers.Driver, error) {
	driver, err := libvirt.NewFromURI(c.Name, c.URI, func(config *libvirt.Config, options *libvirt.Options) {
		config.KeepaliveInterval, config.KeepaliveCount = c.Keepalive.Interval, c.Keepalive.Count
		options.Log = log
	})
	if err != nil {
		return nil, err
	}
	return driver, nil
}
