package main

import (
	"context"
	"log/slog"
	"net"

	"github.com/virtcast/virtcast/drivers"
	"github.com/virtcast/virtcast/drivers/libvirt"
	"github.com/virtcast/virtcast/drivers/libvirt/sasl"
	"github.com/virtcast/virtcast/drivers/libvirt/transport"
)

// libvirtDrivers returns the factory of drivers for configured connections.
func libvirtDrivers(log *slog.Logger) driverFactory {
	return func(c ConnectionConfig) (drivers.Driver, error) {
		uri, err := transport.ParseURI(c.URI)
		if err != nil {
			return nil, err
		}
		config := libvirt.Config{
			Name:              c.Name,
			URI:               uri.OpenName(),
			Host:              uri.Host,
			KeepaliveInterval: c.Keepalive.Interval,
			KeepaliveCount:    c.Keepalive.Count,
		}
		return libvirt.New(config, libvirt.Options{
			Dial: func(ctx context.Context) (net.Conn, error) {
				conn, err := transport.Dialer{}.Dial(ctx, uri)
				if err != nil {
					return nil, err
				}
				return conn, nil
			},
			SASL: func(offered []string) (sasl.Mechanism, error) {
				creds, err := sasl.Find(uri.AuthFile, uri.Host)
				if err != nil {
					return nil, err
				}
				return sasl.Choose(offered, creds, uri.Transport != transport.TCP)
			},
			Log: log,
		}), nil
	}
}
