package lab_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/virtcast/virtcast/e2e/lab"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLibvirtd(t *testing.T) {
	d := lab.Libvirtd(t, lab.Options{})
	d.Hold(t, lab.Test)
	d.Define(t, lab.Test, "lab", lab.TestDomain("lab"))
	d.Virsh(t, lab.Test, "start", "lab")
	if got, want := d.Virsh(t, lab.Test, "domstate", "lab"), "running"; got != want {
		t.Errorf("got state %q, want %q", got, want)
	}
	d.Kill(t)
	if out, err := lab.TryVirsh(d.URI(lab.Test), "hostname"); err == nil {
		t.Errorf("a killed daemon says that its host is %q", out)
	}
	d.Start(t)
	d.Restart(t)
	if got, want := d.Virsh(t, lab.Test, "hostname"), d.Hostname; got != want {
		t.Errorf("got host name %q, want %q", got, want)
	}
}

func TestTransports(t *testing.T) {
	lab.Require(t, "libvirtd", "sasl")
	pki := lab.NewPKI(t)
	d := lab.Libvirtd(t, lab.Options{TCP: true, PKI: pki})
	secured := lab.Libvirtd(t, lab.Options{PKI: pki, SASL: map[string]string{"joe": "secret"}})
	auth := "&authfile=" + lab.AuthFile(t, "127.0.0.1", "joe", "secret")
	wrong := "&authfile=" + lab.AuthFile(t, "127.0.0.1", "joe", "wrong")
	for _, tc := range []struct{ name, uri, failure string }{
		{"unix", d.URI(lab.Test), ""},
		{"tcp", d.TCPURI(lab.Test), ""},
		{"tls with a good certificate", d.TLSURI(lab.Test, pki.Good), ""},
		{"tls with an expired certificate", d.TLSURI(lab.Test, pki.Expired), "expired"},
		{"tls with a certificate of another authority", d.TLSURI(lab.Test, pki.OtherCA), "certificate"},
		{"sasl", secured.TLSURI(lab.Test, pki.Good) + auth, ""},
		{"sasl with a wrong password", secured.TLSURI(lab.Test, pki.Good) + wrong, "authentication failed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, err := lab.TryVirsh(tc.uri, "hostname")
			if tc.failure != "" {
				if err == nil || !strings.Contains(err.Error(), tc.failure) {
					t.Fatalf("got output %q and error %v, want an error that says %q", out, err, tc.failure)
				}
				return
			}
			if err != nil || out == "" {
				t.Fatalf("got output %q and error %v, want a host name", out, err)
			}
		})
	}
}

func TestWatch(t *testing.T) {
	d := lab.Libvirtd(t, lab.Options{})
	w := d.Watch(t, lab.Test)
	d.Define(t, lab.Test, "lab", lab.TestDomain("lab"))
	d.Virsh(t, lab.Test, "start", "lab")
	d.Virsh(t, lab.Test, "destroy", "lab")
	d.Virsh(t, lab.Test, "undefine", "lab")
	expect(t, w, "lab", "Defined Added", "Started Booted", "Stopped Destroyed", "Undefined Removed")
}

func TestPuppetGuest(t *testing.T) {
	t.Run("system", func(t *testing.T) { testPuppetGuest(t, lab.Options{}) })
	t.Run("session", func(t *testing.T) { testPuppetGuest(t, lab.Options{Session: true}) })
}

func testPuppetGuest(t *testing.T, opts lab.Options) {
	t.Helper()
	lab.Require(t, "libvirtd", "qemu")
	d := lab.Libvirtd(t, opts)
	w := d.Watch(t, lab.QEMU)
	g := lab.PuppetGuest(t, d, "puppet")
	g.Virsh(t, "start")
	g.AwaitBoot(t)
	g.Do(t, 'p')
	want := []string{"Defined Added", "Resumed Unpaused", "Started Booted", "Shutdown Finished after guest request", "Stopped Shutdown"}
	expect(t, w, g.Name, want...)
	g.Virsh(t, "start")
	g.AwaitBoot(t)
	g.Kill(t)
	expect(t, w, g.Name, append(want, "Resumed Unpaused", "Started Booted", "Stopped Failed")...)
}

func TestContainer(t *testing.T) {
	lab.Require(t, "libvirtd", "lxc")
	d := lab.Libvirtd(t, lab.Options{})
	w := d.Watch(t, lab.LXC)
	c := lab.Container(t, d, "box")
	c.Virsh(t, "start")
	c.Virsh(t, "suspend")
	c.Virsh(t, "resume")
	c.Virsh(t, "destroy")
	expect(t, w, c.Name, "Defined Added", "Started Booted", "Suspended Paused", "Resumed Unpaused", "Stopped Destroyed")
}

// lxcRace is an event that libvirt's LXC driver sometimes sends before or behind "Stopped
// Destroyed": the driver has noticed, while it destroyed the container, that the
// controller ended.
const lxcRace = "Stopped Failed"

// expect waits until virsh event has printed exactly these lifecycle events of a domain.
func expect(t *testing.T, w *lab.Lines, domain string, want ...string) {
	t.Helper()
	prefix := "event 'lifecycle' for domain '" + domain + "': "
	lifecycle := func() []string {
		var got []string
		for _, line := range w.Get() {
			if event, ok := strings.CutPrefix(line, prefix); ok {
				got = append(got, event)
			}
		}
		return got
	}
	w.Await(t, lab.Patience, func([]string) bool { return len(lifecycle()) >= len(want) })
	got := lifecycle()
	if slices.Contains(got, lxcRace) && !slices.Contains(want, lxcRace) && slices.Contains(want, "Stopped Destroyed") {
		w.Await(t, lab.Patience, func([]string) bool { return len(lifecycle()) > len(want) })
		got = slices.DeleteFunc(lifecycle(), func(event string) bool { return event == lxcRace })
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("lifecycle events of %s (-want +got):\n%s", domain, diff)
	}
}
