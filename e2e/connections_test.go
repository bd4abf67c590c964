package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virtcast/virtcast/e2e/lab"
)

// One process watches three hypervisors. One of them is dead at the start and comes up
// later, another one is killed and comes back. Neither delays the others, and a gap is
// declared for the time that was missed.
func TestThreeConnections(t *testing.T) {
	lab.Require(t, "libvirtd", "qemu", "lxc")
	tests, qemus, lxcs := lab.Libvirtd(t, lab.Options{}), lab.Libvirtd(t, lab.Options{}), lab.Libvirtd(t, lab.Options{})
	tests.Hold(t, lab.Test)
	guest := tests.Define(t, lab.Test, "guest", lab.TestDomain("guest"))
	puppet := lab.PuppetGuest(t, qemus, "puppet")
	box := lab.Container(t, lxcs, "box")
	lxcs.Kill(t)

	metrics := freeAddr(t)
	began := time.Now()
	s, v := start(t, setup{metrics: metrics, connections: []connection{
		{"dead-host", lxcs.URI(lab.LXC)}, {"test-host", tests.URI(lab.Test)}, {"qemu-host", qemus.URI(lab.QEMU)},
	}})

	// The dead hypervisor delays no other.
	awaitWatching(t, v, 1, "test-host", "qemu-host")
	tests.Virsh(t, lab.Test, "start", "guest")
	puppet.Virsh(t, "start")
	s.expect(t, guest, []string{"started/booted"})
	started := []string{"resumed/unpaused", "started/booted"}
	s.expect(t, puppet.UUID, started)
	if n := len(logged(v, "watching", "dead-host")); n != 0 {
		t.Errorf("the dead host is watched")
	}
	if n := len(logged(v, "no session, trying again", "dead-host")); n == 0 {
		t.Errorf("virtcast does not say that it has no session with the dead host")
	}

	// The dead hypervisor comes up.
	lxcs.Start(t)
	awaitWatching(t, v, 1, "dead-host")
	box.Virsh(t, "start")
	s.expect(t, box.UUID, []string{"started/booted"})

	// A connection is lost, opened and registered again. The guest outlives its daemon.
	qemus.Kill(t)
	tests.Virsh(t, lab.Test, "suspend", "guest")
	s.expect(t, guest, []string{"started/booted", "suspended/paused"})
	qemus.Start(t)
	awaitWatching(t, v, 2, "qemu-host")
	puppet.AwaitDaemon(t)
	puppet.AwaitBoot(t)
	puppet.Do(t, 'p')
	s.expect(t, puppet.UUID, append(started, "shutdown/guest", "stopped/shutdown"))
	if n := len(logged(v, "session lost", "qemu-host")); n != 1 {
		t.Errorf("the log says %d times that the session was lost, want once", n)
	}
	s.settle(t)
	checkGap(t, s.messages, began)
	checkLosses(t, metrics)
}

// checkGap checks that exactly the killed daemon's connection has declared a gap, before
// everything newer of that connection.
func checkGap(t *testing.T, messages []message, began time.Time) {
	t.Helper()
	var gaps, after []string
	for _, m := range messages {
		name := extension(m, "connection")
		switch {
		case m.Type() == "org.virtcast.connection.gap.v1":
			gaps = append(gaps, name)
			since, err := time.Parse(time.RFC3339Nano, extension(m, "unobservedsince"))
			if err != nil || since.Before(began) || since.After(m.Time()) {
				t.Errorf("gap %s: unobserved since %v (%v), want a time between %v and %v", m.ID(), since, err, began, m.Time())
			}
		case name == "qemu-host" && len(gaps) > 0:
			after = append(after, m.what+"/"+m.detail)
		}
	}
	if diff := cmp.Diff([]string{"qemu-host"}, gaps); diff != "" {
		t.Errorf("gaps by connection (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"shutdown/guest", "stopped/shutdown"}, after); diff != "" {
		t.Errorf("events behind the gap (-want +got):\n%s", diff)
	}
}

// checkLosses checks how many lost sessions the metrics count.
func checkLosses(t *testing.T, addr string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	for name, losses := range map[string]int{"test-host": 0, "qemu-host": 1, "dead-host": 0} {
		want := fmt.Sprintf("virtcast_registry_session_losses_total{connection=%q} %d\n", name, losses)
		if !strings.Contains(string(text), want) {
			t.Errorf("the metrics do not say %q", want)
		}
	}
}

// freeAddr returns an address of the loopback on which nobody listens now.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}
