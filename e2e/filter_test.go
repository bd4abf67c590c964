package e2e

import (
	"strings"
	"testing"

	"github.com/virtcast/virtcast/e2e/lab"
)

// A registration that names a domain gets that domain's events only, and virtcast asks
// the daemon for no more: the daemon's own log has the domain of each callback.
func TestRegistrationOfOneDomain(t *testing.T) {
	d := lab.Libvirtd(t, lab.Options{LogFilters: "1:libvirt 3:util 3:object 3:rpc 3:json 3:event"})
	d.Hold(t, lab.Test)
	wanted := d.Define(t, lab.Test, "wanted", lab.TestDomain("wanted"))
	other := d.Define(t, lab.Test, "other", lab.TestDomain("other"))
	s, v := start(t, setup{
		connections: []connection{{"host", d.URI(lab.Test)}}, domain: wanted, content: "binary",
	})
	awaitWatching(t, v, 1, "host")
	for _, command := range []string{"start", "suspend", "resume", "destroy"} {
		d.Virsh(t, lab.Test, command, "other")
		d.Virsh(t, lab.Test, command, "wanted")
	}
	s.expect(t, wanted, []string{"started/booted", "suspended/paused", "resumed/unpaused", "stopped/destroyed"})
	s.settle(t)
	s.expect(t, other, nil)
	if n := len(s.messages); n != 4 {
		t.Errorf("got %d messages, want the 4 of one domain and no other", n)
	}
	var registered []string
	for line := range strings.Lines(d.Log()) {
		if strings.Contains(line, "virConnectDomainEventRegisterAny") {
			registered = append(registered, line)
		}
	}
	if len(registered) != 1 || !strings.Contains(registered[0], "uuid="+wanted) || !strings.Contains(registered[0], "eventID=0,") {
		t.Errorf("the daemon registered %q, want one callback, for lifecycle events of %s", registered, wanted)
	}
}
