package libvirttest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virtcast/virtcast/drivers/libvirt/wire"
	"github.com/virtcast/virtcast/e2e/lab"
	"github.com/virtcast/virtcast/schema"
)

// inProcessQEMU is a Server with one defined domain "p1".
type inProcessQEMU struct {
	*inProcess
	uuid schema.UUID
}

func newInProcessQEMU(t *testing.T) *inProcessQEMU {
	t.Helper()
	s := NewServer(Options{Flavor: FlavorQEMU})
	t.Cleanup(s.Close)
	if _, err := s.Define("p1", scriptUUID("p1")); err != nil {
		t.Fatal(err)
	}
	return &inProcessQEMU{&inProcess{server: s}, scriptUUID("p1")}
}

func (p *inProcessQEMU) change(t *testing.T, verb string, args ...string) {
	t.Helper()
	d, ok := p.server.Domain(p.uuid)
	if !ok {
		t.Fatal("the domain is gone")
	}
	do := map[string]func() error{
		"start --paused": d.StartPaused, "guest: power off": d.Shutdown, "guest: panic": d.Crash, "kill -9": d.Kill,
		"start: stays paused": d.Start, "guest: sleep": d.PMSuspend, "dompmwakeup": d.PMWakeup,
	}[verb]
	if do == nil {
		p.inProcess.change(t, verb, args...)
		return
	}
	if err := do(); err != nil {
		t.Fatalf("%s: %v", verb, err)
	}
}

// realQEMU is a libvirtd with an emulated guest, "p1".
type realQEMU struct {
	*realDaemon
	guest *lab.Guest
}

func newRealQEMU(t *testing.T) *realQEMU {
	t.Helper()
	d := lab.Libvirtd(t, lab.Options{})
	return &realQEMU{&realDaemon{d}, lab.PuppetGuest(t, d, "p1")}
}

func (r *realQEMU) change(t *testing.T, verb string, args ...string) {
	t.Helper()
	switch verb {
	case "guest: power off":
		r.guest.Do(t, 'p')
		r.awaitShutOff(t)
	case "guest: panic":
		r.guest.Do(t, 'c')
		r.awaitShutOff(t)
	case "guest: sleep":
		r.guest.Do(t, 's')
	case "kill -9":
		r.guest.Kill(t)
		r.awaitShutOff(t)
	case "start: stays paused":
		r.daemon.Virsh(t, lab.QEMU, "start", "p1")
	default:
		words := append(strings.Fields(verb), args...)
		r.daemon.Virsh(t, lab.QEMU, words...)
		if words[0] == "start" && len(words) == 2 {
			r.guest.AwaitBoot(t)
		}
	}
}

// awaitShutOff waits until the daemon has noticed that the guest's process has ended. It
// sends Stopped before that.
func (r *realQEMU) awaitShutOff(t *testing.T) {
	t.Helper()
	for range 200 {
		if r.daemon.Virsh(t, lab.QEMU, "domstate", "p1") == "shut off" {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("the guest goes on")
}

// playQEMU is a life of an emulated guest.
func playQEMU(s *script) {
	s.connect("a", 1)
	s.call("a", "register", wire.ProcDomainEventRegisterAny, 0, 0)
	s.states("a")
	steps := []struct {
		events int
		verb   string
		args   []string
	}{
		{2, "start", []string{"p1"}},
		{1, "suspend", []string{"p1"}},
		{1, "resume", []string{"p1"}},
		{2, "managedsave", []string{"p1"}},
		{2, "start", []string{"p1"}},
		{2, "destroy", []string{"p1"}},
		{2, "start --paused", []string{"p1"}},
		{1, "managedsave", []string{"p1"}},
		{2, "start --paused", []string{"p1"}},
		{2, "destroy", []string{"p1"}},
		{2, "start", []string{"p1"}},
		{1, "suspend", []string{"p1"}},
		{1, "managedsave", []string{"p1"}},
		{2, "start: stays paused", []string{"p1"}},
		{1, "resume", []string{"p1"}},
		{1, "suspend", []string{"p1"}},
		{2, "destroy", []string{"p1"}},
		{2, "domrename", []string{"p1", "p2"}},
		{2, "domrename", []string{"p2", "p1"}},
		{2, "start", []string{"p1"}},
		{2, "guest: power off", []string{"p1"}},
		{2, "start", []string{"p1"}},
		{2, "guest: panic", []string{"p1"}},
		{2, "start", []string{"p1"}},
		{1, "kill -9", []string{"p1"}},
		{2, "start", []string{"p1"}},
		{1, "guest: sleep", []string{"p1"}},
		{1, "dompmwakeup", []string{"p1"}},
		{1, "undefine", []string{"p1"}},
		{2, "destroy", []string{"p1"}},
	}
	for _, step := range steps {
		if s.skip = ""; step.verb == "guest: panic" {
			s.skip = "event 3/0" // the emulator stops the guest for a moment; the driver may or may not see it
		}
		s.change(step.events, []string{"a"}, step.verb, step.args...)
		s.states("a")
	}
	s.quiet("a")
}

func qemuTranscript(t *testing.T, target target, uri, uuid string) string {
	t.Helper()
	s := newScript(t, target)
	s.uri = uri
	playQEMU(s)
	return strings.ReplaceAll(s.lines.String(), uuid, "<uuid of p1>")
}

func TestConformanceServerQEMU(t *testing.T) {
	target := newInProcessQEMU(t)
	got := qemuTranscript(t, target, "qemu:///system", target.uuid.String())
	if diff := cmp.Diff(golden(t, "qemu"), got); diff != "" {
		t.Errorf("differs from libvirtd (-libvirtd +server):\n%s", diff)
	}
}

func TestConformanceLibvirtdQEMU(t *testing.T) {
	target := newRealQEMU(t)
	uri := "qemu:///session"
	if target.daemon.Privileged() {
		uri = "qemu:///system"
	}
	got := qemuTranscript(t, target, uri, target.guest.UUID)
	if *update {
		if err := os.WriteFile(filepath.Join("testdata", "qemu.txt"), []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(golden(t, "qemu"), got); diff != "" {
		t.Errorf("libvirtd differs from what was recorded (-recorded +libvirtd):\n%s", diff)
	}
}
