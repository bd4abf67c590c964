package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/virtcast/virtcast/drivers/libvirt/libvirttest"
	"github.com/virtcast/virtcast/e2e/lab"
	"github.com/virtcast/virtcast/schema"
)

// TestStateOfMigratingDomain migrates a real guest between two real libvirtds, and back.
// The stores have the state from the host where the guest is, whichever host's event came
// last.
func TestStateOfMigratingDomain(t *testing.T) {
	lab.Require(t, "libvirtd", "qemu")
	hosts := []*lab.Daemon{
		lab.Libvirtd(t, lab.Options{Config: []string{`host_uuid = "0a0a0a0a-0000-4000-8000-000000000001"`}}),
		lab.Libvirtd(t, lab.Options{Config: []string{`host_uuid = "0b0b0b0b-0000-4000-8000-000000000002"`}}),
	}
	if !hosts[0].Privileged() {
		lab.Require(t, "root") // Two session daemons share their guests.
	}
	names := []string{"host-a", "host-b"}
	buses, metrics, _ := stateSetup(t, connection{names[0], hosts[0].URI(lab.QEMU)}, connection{names[1], hosts[1].URI(lab.QEMU)})
	guest := lab.PuppetGuest(t, hosts[0], "puppet")
	guest.Virsh(t, "start")
	awaitStored(t, metrics)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	group, ctx := errgroup.WithContext(ctx)
	var stores []*store
	for _, b := range buses {
		stores = append(stores, b.watch(ctx, t, group))
	}
	expect := func(t *testing.T, want string) {
		t.Helper()
		awaitStored(t, metrics)
		lab.Eventually(t, lab.Patience, func() error {
			var errs []error
			for _, s := range stores {
				if diff := cmp.Diff(want, s.describe(guest.UUID)+" on "+s.of(guest.UUID).connection); diff != "" {
					errs = append(errs, fmt.Errorf("%s (-want +stored)\n%s", s.name, diff))
				}
			}
			return errors.Join(errs...)
		})
	}
	expect(t, "running/booted persistent on host-a")
	migrate := func(t *testing.T, from, to int, flags ...string) {
		t.Helper()
		args := []string{"migrate", "--unsafe", "--live", guest.Name, hosts[to].URI(lab.QEMU), "--migrateuri", "tcp://127.0.0.1"}
		hosts[from].Virsh(t, lab.QEMU, append(args, flags...)...)
	}
	for _, step := range []struct {
		name string
		do   func(t *testing.T)
		want string
	}{
		{"there", func(t *testing.T) { migrate(t, 0, 1, "--persistent") }, "running/migrated persistent on host-b"},
		{"undefine at the source", func(t *testing.T) { hosts[0].Virsh(t, lab.QEMU, "undefine", guest.Name) }, "running/migrated persistent on host-b"},
		{"back", func(t *testing.T) { migrate(t, 1, 0, "--persistent", "--undefinesource") }, "running/migrated persistent on host-a"},
		{"stop", func(t *testing.T) { hosts[0].Virsh(t, lab.QEMU, "destroy", guest.Name) }, "shutoff/destroyed persistent on host-a"},
	} {
		if !t.Run(step.name, func(t *testing.T) { step.do(t); expect(t, step.want) }) {
			t.FailNow()
		}
	}
	for _, s := range stores {
		if s.removed {
			t.Errorf("%s: a domain that was always somewhere was removed", s.name)
		}
	}
	stop()
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}

// TestStatesOfMigratingDomains migrates many domains back and forth at random while other
// things happen to them. Chance decides which host's events come first.
func TestStatesOfMigratingDomains(t *testing.T) {
	const (
		domains = 40
		// rest is the pause between two changes of a domain. A real migration takes
		// longer, and no connection is late by so much.
		rest = 200 * time.Millisecond
	)
	hosts, names := make([]*libvirttest.Server, 2), []string{"host-a", "host-b"}
	uris := make([]string, 2)
	for i := range hosts {
		hosts[i], uris[i] = hypervisor(t, libvirttest.Options{Flavor: libvirttest.FlavorQEMU, Hostname: names[i] + ".example.com"})
	}
	buses, metrics, _ := stateSetup(t, connection{names[0], uris[0]}, connection{names[1], uris[1]})
	at := make([]int, domains) // the host of each domain
	since := make([]time.Time, domains)
	for n := range at {
		d, err := hosts[0].Define(churnDomain(n))
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Start(); err != nil {
			t.Fatal(err)
		}
	}
	awaitStored(t, metrics)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	group, ctx := errgroup.WithContext(ctx)
	var stores []*store
	for _, b := range buses {
		stores = append(stores, b.watch(ctx, t, group))
	}
	migrations := 0
	for end := time.Now().Add(4 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		n := rand.IntN(domains)
		if time.Since(since[n]) < rest {
			continue
		}
		since[n] = time.Now()
		name, uuid := churnDomain(n)
		if old, ok := hosts[1-at[n]].Domain(uuid); ok && rand.IntN(2) == 0 {
			if err := old.Undefine(); err != nil { // Of no meaning to who runs elsewhere.
				t.Fatal(err)
			}
		}
		d, ok := hosts[at[n]].Domain(uuid)
		if !ok {
			t.Fatalf("%s is not on %s", name, names[at[n]])
		}
		var err error
		switch state := d.State().State; {
		case state == schema.StatePaused:
			err = d.Resume()
		case rand.IntN(3) == 0:
			err = d.Suspend()
		default:
			if _, err = hosts[1-at[n]].MigrateIn(name, uuid, true); err == nil {
				err = d.MigrateOut(rand.IntN(2) == 0)
			}
			at[n] = 1 - at[n]
			migrations++
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]string{}
	for n, host := range at {
		_, uuid := churnDomain(n)
		d, ok := hosts[host].Domain(uuid)
		if !ok {
			t.Fatalf("domain %d is not on %s", n, names[host])
		}
		want[uuid.String()] = schema.StateName(d.State().State) + " on " + names[host]
	}
	t.Logf("%d migrations", migrations)
	awaitStored(t, metrics)
	for _, s := range stores {
		lab.Eventually(t, lab.Patience, func() error {
			if diff := cmp.Diff(want, s.places()); diff != "" {
				return fmt.Errorf("%s (-hosts +stored)\n%s", s.name, diff)
			}
			return nil
		})
		if s.removed {
			t.Errorf("%s: a domain that was always somewhere was removed", s.name)
		}
	}
	stop()
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}
