package libvirttest

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virtcast/virtcast/drivers/libvirt/wire"
	"github.com/virtcast/virtcast/schema"
)

// watch returns a peer that is registered for all lifecycle events.
func watch(t *testing.T, s *Server) *peer {
	t.Helper()
	p := openPeer(t, s.Pipe(), s.URI(), wire.OpenReadOnly)
	p.register(nil)
	return p
}

// take returns the next n events in short.
func (p *peer) take(n int) []string {
	p.t.Helper()
	var got []string
	for range n {
		m := p.event()
		got = append(got, fmt.Sprintf("%s %d: %d/%d", m.Domain.Name, m.Domain.ID, m.Event, m.Detail))
	}
	return got
}

// TestMigration has the sequences measured between two QEMU daemons.
func TestMigration(t *testing.T) {
	source, dest := NewServer(Options{Flavor: FlavorQEMU}), NewServer(Options{Flavor: FlavorQEMU})
	defer source.Close()
	defer dest.Close()
	atSource, atDest := watch(t, source), watch(t, dest)
	uuid := schema.UUID{7}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	d, err := source.Create("vm", uuid)
	must(err)
	_, err = dest.MigrateIn("vm", uuid, true)
	must(err)
	must(d.MigrateOut(true))
	want := []string{"vm 1: 4/0", "vm 1: 2/0", "vm 1: 3/1", "vm -1: 5/3"}
	if diff := cmp.Diff(want, atSource.take(4)); diff != "" {
		t.Errorf("source (-want +got):\n%s", diff)
	}
	want = []string{"vm 1: 2/1", "vm 1: 0/0", "vm 1: 4/1"}
	if diff := cmp.Diff(want, atDest.take(3)); diff != "" {
		t.Errorf("destination (-want +got):\n%s", diff)
	}
	if _, ok := source.Domain(uuid); ok {
		t.Error("the source still knows the domain")
	}
	back, _ := dest.Domain(uuid)
	must(back.MigrateOut(false))
	if got, want := back.State(), (schema.ListedDomain{
		Object: schema.Object{UUID: uuid, Name: "vm", ID: -1}, State: stateShutoff, Reason: shutoffMigrated,
	}); got != want {
		t.Errorf("a persistent one that went: got %+v, want %+v", got, want)
	}
}

// TestRefusals: what the driver refuses is an error with libvirt's code, and emits
// nothing.
func TestRefusals(t *testing.T) {
	tests := []struct {
		name   string
		flavor Flavor
		state  func(*Domain) error // before
		do     func(*Domain) error
		code   int32
	}{
		{"start a running one", FlavorTest, (*Domain).Start, (*Domain).Start, wire.CodeInternalError},
		{"start a running one", FlavorQEMU, (*Domain).Start, (*Domain).Start, codeOperationInvalid},
		{"start paused", FlavorTest, nil, (*Domain).StartPaused, wire.CodeInvalidArg},
		{"suspend one that is off", FlavorTest, nil, (*Domain).Suspend, wire.CodeInternalError},
		{"suspend one that is off", FlavorQEMU, nil, (*Domain).Suspend, codeOperationInvalid},
		{"resume a running one", FlavorQEMU, (*Domain).Start, (*Domain).Resume, codeOperationInvalid},
		{"shut down one that is off", FlavorTest, nil, (*Domain).Shutdown, wire.CodeInternalError},
		{"destroy one that is off", FlavorQEMU, nil, (*Domain).Destroy, codeOperationInvalid},
		{"save one that is off", FlavorTest, nil, (*Domain).Save, codeOperationInvalid},
		{"restore a running one", FlavorTest, (*Domain).Start, (*Domain).Restore, codeOperationInvalid},
		{"rename a running one", FlavorTest, (*Domain).Start, func(d *Domain) error { return d.Rename("other") }, codeOperationInvalid},
		{"rename to its own name", FlavorTest, nil, func(d *Domain) error { return d.Rename("vm") }, codeOperationInvalid},
		{"crash one that is off", FlavorQEMU, nil, (*Domain).Crash, codeOperationInvalid},
		{"kill", FlavorTest, (*Domain).Start, (*Domain).Kill, wire.CodeNoSupport},
		{"sleep", FlavorTest, (*Domain).Start, (*Domain).PMSuspend, wire.CodeNoSupport},
		{"wake one that is awake", FlavorQEMU, (*Domain).Start, (*Domain).PMWakeup, codeOperationInvalid},
		{"migrate", FlavorTest, (*Domain).Start, func(d *Domain) error { return d.MigrateOut(false) }, wire.CodeNoSupport},
		{"start one that is gone", FlavorTest, (*Domain).Undefine, (*Domain).Start, wire.CodeNoDomain},
		{"undefine a transient one", FlavorQEMU, func(d *Domain) error {
			return errors.Join(d.Start(), d.Undefine())
		}, (*Domain).Undefine, codeOperationInvalid},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := NewServer(Options{Flavor: test.flavor, Empty: true})
			defer s.Close()
			d, err := s.Define("vm", schema.UUID{7})
			if err != nil {
				t.Fatal(err)
			}
			if test.state != nil {
				if err := test.state(d); err != nil {
					t.Fatal(err)
				}
			}
			p := watch(t, s)
			before := d.State()
			var e *wire.RemoteError
			if err := test.do(d); !errors.As(err, &e) || e.Code != test.code {
				t.Errorf("got %v, want code %d", err, test.code)
			}
			if got := d.State(); got != before {
				t.Errorf("state: got %+v, want %+v", got, before)
			}
			d.Emit(99, 98) // nothing came before it
			if diff := cmp.Diff([]string{fmt.Sprintf("vm %d: 99/98", before.ID)}, p.take(1)); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNamesAndUUIDsAreUnique(t *testing.T) {
	s := NewServer(Options{})
	defer s.Close()
	tests := map[string]func() error{
		"define: name taken":  func() error { _, err := s.Define("test", schema.UUID{9}); return err },
		"define: uuid taken":  func() error { _, err := s.Define("x", TestDomainUUID); return err },
		"create: name taken":  func() error { _, err := s.Create("test", schema.UUID{9}); return err },
		"create: is running":  func() error { _, err := s.Create("test", TestDomainUUID); return err },
		"migrate in: no QEMU": func() error { _, err := s.MigrateIn("x", schema.UUID{9}, true); return err },
	}
	for name, do := range tests {
		var e *wire.RemoteError
		if err := do(); !errors.As(err, &e) {
			t.Errorf("%s: got %v, want an error of libvirt's", name, err)
		}
	}
	if got := len(s.Domains()); got != 1 {
		t.Errorf("got %d domains, want 1", got)
	}
}

func TestEmitEvent(t *testing.T) {
	s := NewServer(Options{})
	defer s.Close()
	p := openPeer(t, s.Pipe(), s.URI(), 0)
	p.must(wire.ProcDomainEventRegisterAny, registerAnyArgs(1, nil)) // reboot
	p.register(nil)
	var e wire.Encoder
	e.Domain(testDomain)
	s.EmitEvent(1, 319, TestDomainUUID, e.Payload())
	f, err := p.next()
	if err != nil || f.Procedure != 319 || string(f.payload) != "\x00\x00\x00\x00"+string(e.Payload()) {
		t.Errorf("got %+v, error %v, want a reboot for callback 0", f, err)
	}
	p.wantQuiet(0)
}
