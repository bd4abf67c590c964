package e2e

import (
	"path/filepath"
	"testing"

	"github.com/virtcast/virtcast/drivers/libvirt/libvirttest"
)

// hypervisor starts a simulated hypervisor with libvirtd's protocol on a unix socket, for
// behaviour or speed that a real one does not have. It returns the server and its URI.
// The server ends with the test.
func hypervisor(t *testing.T, options libvirttest.Options) (h *libvirttest.Server, uri string) {
	t.Helper()
	h = libvirttest.NewServer(options)
	t.Cleanup(h.Close)
	socket := filepath.Join(t.TempDir(), "socket")
	if _, err := h.Listen("unix", socket); err != nil {
		t.Fatal(err)
	}
	if options.Flavor == libvirttest.FlavorQEMU {
		return h, "qemu+unix:///system?socket=" + socket
	}
	return h, "test+unix:///default?socket=" + socket
}
