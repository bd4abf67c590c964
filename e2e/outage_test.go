package e2e

import (
	"testing"
	"time"

	"github.com/virtcast/virtcast/e2e/lab"
)

// Events that occur while the broker is down, or just before virtcast is killed, arrive
// in order and once when both are back.
func TestOutages(t *testing.T) {
	d := lab.Libvirtd(t, lab.Options{})
	d.Hold(t, lab.Test)
	uuid := d.Define(t, lab.Test, "guest", lab.TestDomain("guest"))
	server := lab.NATS(t, lab.NATSOptions{})
	config := setup{connections: []connection{{"host", d.URI(lab.Test)}}}.config(server.URL, t.TempDir())
	v := lab.Virtcast(t, config, lab.VirtcastOptions{})
	s := openStream(t, server.URL)
	awaitWatching(t, v, 1, "host")
	virsh := func(commands ...string) {
		t.Helper()
		for _, command := range commands {
			d.Virsh(t, lab.Test, command, "guest")
		}
	}
	want := []string{"started/booted", "suspended/paused", "resumed/unpaused"}
	virsh("start", "suspend", "resume")
	s.expect(t, uuid, want)

	server.Kill(t)
	virsh("suspend", "resume", "destroy")
	want = append(want, "suspended/paused", "resumed/unpaused", "stopped/destroyed")
	server.Start(t)
	s.expect(t, uuid, want)

	server.Kill(t)
	virsh("start", "suspend")
	// An event that virtcast has not recorded when it dies is lost. Without a broker,
	// nothing outside shows whether virtcast has recorded an event.
	time.Sleep(quiet)
	v.Kill9(t)
	v.Start(t)
	server.Start(t)
	want = append(want, "started/booted", "suspended/paused")
	s.expect(t, uuid, want)
	awaitWatching(t, v, 2, "host")
	virsh("resume")
	s.expect(t, uuid, append(want, "resumed/unpaused"))
	s.settle(t)
}
