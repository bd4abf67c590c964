package e2e

import (
	"testing"

	"github.com/virtcast/virtcast/e2e/lab"
)

// What happens to domains of three hypervisors arrives on NATS and on Kafka, in order and
// once.
func TestLifecycle(t *testing.T) {
	kafka := lab.Kafka(t, lab.KafkaOptions{})
	t.Run("test", func(t *testing.T) { testLifecycleTestDriver(t, kafka) })
	t.Run("qemu", func(t *testing.T) { testLifecycleQEMU(t, kafka) })
	t.Run("lxc", func(t *testing.T) { testLifecycleLXC(t, kafka) })
}

func testLifecycleTestDriver(t *testing.T, kafka *lab.KafkaCluster) {
	t.Helper()
	d := lab.Libvirtd(t, lab.Options{})
	name, uuid := "guest", ""
	virsh := func(args ...string) func(*testing.T) {
		return func(t *testing.T) {
			t.Helper()
			d.Virsh(t, lab.Test, args...)
		}
	}
	scenario{
		kafka: kafka, daemon: d, uri: lab.Test, domain: &name, uuid: &uuid,
		steps: []step{
			{"define", func(t *testing.T) { uuid = d.Define(t, lab.Test, name, lab.TestDomain(name)) }, []string{"defined/added"}},
			{"start", virsh("start", name), []string{"started/booted"}},
			{"suspend", virsh("suspend", name), []string{"suspended/paused"}},
			{"resume", virsh("resume", name), []string{"resumed/unpaused"}},
			{"shutdown", virsh("shutdown", name), []string{"stopped/shutdown"}},
			{"start again", virsh("start", name), []string{"started/booted"}},
			{"destroy", virsh("destroy", name), []string{"stopped/destroyed"}},
			{"undefine", virsh("undefine", name), []string{"undefined/removed"}},
		},
	}.run(t)
}

func testLifecycleQEMU(t *testing.T, kafka *lab.KafkaCluster) {
	t.Helper()
	d := lab.Libvirtd(t, lab.Options{})
	var g lab.Guest
	virsh := func(command string, args ...string) func(*testing.T) {
		return func(t *testing.T) {
			t.Helper()
			g.Virsh(t, command, args...)
		}
	}
	start := func(t *testing.T) {
		t.Helper()
		g.Virsh(t, "start")
		g.AwaitBoot(t)
	}
	started := []string{"resumed/unpaused", "started/booted"}
	save := d.Dir + "/guests/saved"
	scenario{
		kafka: kafka, daemon: d, uri: lab.QEMU, domain: &g.Name, uuid: &g.UUID,
		steps: []step{
			{"define", func(t *testing.T) { g = *lab.PuppetGuest(t, d, "puppet") }, []string{"defined/added"}},
			{"define again", func(t *testing.T) { g.Redefine(t) }, []string{"defined/updated"}},
			{"start", start, started},
			{"suspend", virsh("suspend"), []string{"suspended/paused"}},
			{"resume", virsh("resume"), []string{"resumed/unpaused"}},
			{"reset by the host", virsh("reset"), nil},
			{"reset by the guest", func(t *testing.T) { g.AwaitBoot(t); g.Do(t, 'r'); g.AwaitBoot(t) }, nil},
			{"poweroff by the guest", func(t *testing.T) { g.Do(t, 'p') }, []string{"shutdown/guest", "stopped/shutdown"}},
			{"start to destroy", start, started},
			{"destroy", virsh("destroy"), []string{"shutdown/host", "stopped/destroyed"}},
			{"start paused", virsh("start", "--paused"), []string{"started/booted", "suspended/paused"}},
			{"resume after start", virsh("resume"), []string{"resumed/unpaused"}},
			{"managed save", virsh("managedsave"), []string{"suspended/paused", "stopped/saved"}},
			{"start from managed save", virsh("start"), []string{"started/restored", "resumed/from-snapshot"}},
			{"save to a file", virsh("save", save), []string{"suspended/paused", "stopped/saved"}},
			{
				"restore from a file",
				func(t *testing.T) { d.Virsh(t, lab.QEMU, "restore", save) },
				[]string{"started/restored", "resumed/from-snapshot"},
			},
			{"kill -9 of the emulator", func(t *testing.T) { g.Kill(t) }, []string{"stopped/failed"}},
			{"undefine", virsh("undefine"), []string{"undefined/removed"}},
		},
	}.run(t)
}

func testLifecycleLXC(t *testing.T, kafka *lab.KafkaCluster) {
	t.Helper()
	lab.Require(t, "lxc")
	d := lab.Libvirtd(t, lab.Options{})
	var c lab.ContainerDomain
	virsh := func(command string, args ...string) func(*testing.T) {
		return func(t *testing.T) {
			t.Helper()
			c.Virsh(t, command, args...)
		}
	}
	scenario{
		kafka: kafka, daemon: d, uri: lab.LXC, domain: &c.Name, uuid: &c.UUID,
		// While libvirt's LXC driver destroys the container, it may also notice that the
		// controller has ended, and then sends an event about that too.
		sometimes: map[string]string{"destroy": "stopped/failed"},
		steps: []step{
			{"define", func(t *testing.T) { c = *lab.Container(t, d, "box") }, []string{"defined/added"}},
			{"start", virsh("start"), []string{"started/booted"}},
			{"suspend", virsh("suspend"), []string{"suspended/paused"}},
			{"resume", virsh("resume"), []string{"resumed/unpaused"}},
			{"destroy", virsh("destroy"), []string{"stopped/destroyed"}},
			{"start again", virsh("start"), []string{"started/booted"}},
			{"the container's init ends", func(t *testing.T) { c.EndInit(t) }, []string{"stopped/shutdown"}},
			{"start once more", virsh("start"), []string{"started/booted"}},
			{"kill -9 of the controller", func(t *testing.T) { c.KillController(t) }, []string{"stopped/failed"}},
			{"undefine", virsh("undefine"), []string{"undefined/removed"}},
		},
	}.run(t)
}
