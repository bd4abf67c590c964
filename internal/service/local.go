package service

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/virtcast/virtcast/drivers"
	"github.com/virtcast/virtcast/internal/config"
)

// probeTimeout bounds the look for a hypervisor on this machine.
const probeTimeout = 3 * time.Second

// sessionName is the connection of a user's own libvirt.
const sessionName = "session"

// localCandidates are what may be on this machine: LIBVIRT_DEFAULT_URI where it is set,
// else the usual ones, in this order.
func localCandidates() []config.Connection {
	if uri := os.Getenv("LIBVIRT_DEFAULT_URI"); uri != "" {
		return []config.Connection{{Name: "local", URI: uri}}
	}
	return []config.Connection{
		{Name: "qemu", URI: "qemu:///system"},
		{Name: "xen", URI: "xen:///system"},
		{Name: "lxc", URI: "lxc:///system"},
		{Name: sessionName, URI: "qemu:///session"},
	}
}

// localConnections returns the hypervisors that answer on this machine.
func localConnections(ctx context.Context) []config.Connection {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	var found []config.Connection
	driverOf := DriversByURI(slog.New(slog.DiscardHandler))
	for _, candidate := range localCandidates() {
		if candidate.Name == sessionName && os.Geteuid() == 0 {
			continue // For root libvirt has one daemon: its session is what the system has already.
		}
		driver, err := driverOf(candidate)
		if err != nil {
			continue
		}
		session, err := driver.Open(ctx, nil, func(drivers.Batch) {})
		if err != nil {
			continue
		}
		found = append(found, candidate)
		_ = session.Close() // it was only a look
	}
	return found
}
