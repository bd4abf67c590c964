package registry_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virtcast/virtcast/drivers/libvirt"
	"github.com/virtcast/virtcast/e2e/lab"
	"github.com/virtcast/virtcast/registry"
	"github.com/virtcast/virtcast/schema"
)

// TestLibvirtdChangeOver changes from callbacks of domains to one of all and back while a
// real libvirtd sends events. It holds the assumption that duplicates of an event follow
// each other directly.
func TestLibvirtdChangeOver(t *testing.T) {
	daemon := lab.Libvirtd(t, lab.Options{})
	daemon.Hold(t, lab.Test)
	uri := daemon.URI(lab.Test)
	names := []string{"first", "second"}
	uuids := make([]schema.UUID, len(names))
	for i, name := range names {
		var err error
		if uuids[i], err = schema.ParseUUID(daemon.Define(t, lab.Test, name, lab.TestDomain(name))); err != nil {
			t.Fatal(err)
		}
		lab.Virsh(t, uri, "start", name)
	}

	j := &journal{}
	r := registry.New(registry.Options{Record: j.record, QueueBytes: 128 << 20})
	driver := &noting{Driver: libvirt.New(libvirt.Config{Name: "real", URI: lab.Test}, libvirt.Options{
		Dial: func(ctx context.Context) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", daemon.Socket())
		},
	})}
	if err := r.AddConnection(registry.Connection{Name: "real", Driver: driver}); err != nil {
		t.Fatal(err)
	}
	lifecycle := []schema.Kind{schema.KindLifecycle}
	for i := range uuids {
		register(t, r, registry.Registration{Kinds: lifecycle, Domain: &uuids[i]})
	}
	run(t, r)
	eventually(t, func() error {
		if s := r.Stats()[0]; !s.Up {
			return fmt.Errorf("stats: %+v", s)
		}
		return nil
	})

	const rounds = 2500
	emitted := make(chan error, 1)
	go func() { emitted <- suspendAndResume(uri, rounds, names) }()
	changes := 0
	for emitting := true; emitting; {
		all := register(t, r, registry.Registration{Kinds: lifecycle})
		time.Sleep(250 * time.Millisecond)
		if err := r.DeregisterAny(all); err != nil {
			t.Fatal(err)
		}
		changes++
		select {
		case err := <-emitted:
			if err != nil {
				t.Fatal(err)
			}
			emitting = false
		case <-time.After(250 * time.Millisecond):
		}
	}
	eventually(t, func() error {
		if s := r.Stats()[0]; s.Recorded < uint64(2*rounds*len(names)) || s.Queued > 0 {
			return fmt.Errorf("stats: %+v", s)
		}
		return nil
	})
	want, got := map[string][]int32{}, map[string][]int32{}
	for _, name := range names {
		for range rounds {
			want[name] = append(want[name], 3, 4) // suspended, resumed
		}
	}
	for _, m := range j.all() {
		got[m.Object.Name] = append(got[m.Object.Name], m.Event)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("recorded (-want +got):\n%s", diff)
	}
	s := r.Stats()[0]
	dropped := driver.session.Load().Stats().Duplicates
	if dropped == 0 {
		t.Errorf("stats: %+v, no duplicates dropped", s)
	}
	t.Logf("%d events, %d changes, %d duplicates dropped", s.Received, changes, dropped)
}

// suspendAndResume lets one virsh for each domain change its state, all at the same time.
func suspendAndResume(uri string, rounds int, names []string) error {
	failed := make(chan error, len(names))
	for _, name := range names {
		go func() {
			_, err := lab.TryVirsh(uri, strings.Repeat("suspend "+name+"; resume "+name+"; ", rounds))
			failed <- err
		}()
	}
	var err error
	for range names {
		err = errors.Join(err, <-failed)
	}
	return err
}
