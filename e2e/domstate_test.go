package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/virtcast/virtcast/e2e/lab"
)

// store has the states that a reader of a state store has seen: the last one of each key.
type store struct {
	name string
	mu   sync.Mutex
	last map[string]arrival
	// back is the first state that was older than the state before it. removed is set
	// once a domain is gone.
	back    error
	removed bool
}

// watch reads a store until ctx ends.
func (b bus) watch(ctx context.Context, t *testing.T, group *errgroup.Group) *store {
	t.Helper()
	s := &store{name: b.name, last: map[string]arrival{}}
	states := b.states(t)
	group.Go(func() error {
		return states(ctx, func(a arrival) {
			s.mu.Lock()
			defer s.mu.Unlock()
			before := s.last[a.uuid]
			if before.connection == a.connection && before.epoch == a.epoch && before.sequence > a.sequence && s.back == nil {
				s.back = fmt.Errorf("%s: state %d of %s was stored after %d", s.name, a.sequence, a.uuid, before.sequence)
			}
			s.last[a.uuid] = a
			s.removed = s.removed || a.gone
		})
	})
	return s
}

// describe returns a domain's state as "running/booted persistent", "gone" or "" where
// there is none.
func (s *store) describe(uuid string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.last[uuid]
	switch {
	case !ok:
		return ""
	case a.gone:
		return "gone"
	}
	text := a.state
	if a.reason != "" {
		text += "/" + a.reason
	}
	if a.persistent != nil {
		text += map[bool]string{true: " persistent", false: " transient"}[*a.persistent]
	}
	return text
}

// of returns the stored state of a domain.
func (s *store) of(uuid string) arrival {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last[uuid]
}

// places returns state and connection of each domain that exists: "running on host-a".
func (s *store) places() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]string{}
	for uuid, a := range s.last {
		if !a.gone {
			all[uuid] = a.state + " on " + a.connection
		}
	}
	return all
}

// virshWords are what virsh domstate prints, where virtcast has another word.
var virshWords = strings.NewReplacer("shut off", "shutoff", "in shutdown", "shutdown", "event wakeup", "wakeup")

// domState is what the hypervisor itself says of a domain, as [store.describe] has it.
func domState(d *lab.Daemon, uri, uuid string) string {
	state, err := lab.TryVirsh(d.URI(uri), "domstate", "--reason", uuid)
	if err != nil {
		return "gone"
	}
	state, reason, _ := strings.Cut(virshWords.Replace(strings.TrimSuffix(state, ")")), " (")
	text := state
	if reason = strings.ReplaceAll(reason, " ", "-"); reason != "unknown" {
		text += "/" + reason
	}
	info, err := lab.TryVirsh(d.URI(uri), "dominfo", uuid)
	if err != nil {
		return "gone"
	}
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, "Persistent:"); ok {
			text += map[bool]string{true: " persistent", false: " transient"}[strings.TrimSpace(value) == "yes"]
		}
	}
	return text
}

// agrees reports whether a stored state is true. Members that it leaves out are unknown,
// and not compared.
func agrees(stored, actual string) bool {
	storedState, storedKind, known := strings.Cut(stored, " ")
	realState, realKind, _ := strings.Cut(actual, " ")
	storedState, reason, hasReason := strings.Cut(storedState, "/")
	realState, realReason, _ := strings.Cut(realState, "/")
	return storedState == realState && (!hasReason || reason == realReason) && (!known || storedKind == realKind)
}

// TestStates takes domains of a real libvirtd through their lives. After each step both
// state stores must have the expected state, and it must be the hypervisor's own answer.
func TestStates(t *testing.T) {
	d := lab.Libvirtd(t, lab.Options{})
	d.Hold(t, lab.Test)
	buses, metrics, _ := stateSetup(t, connection{"test-host", d.URI(lab.Test)}, connection{"qemu-host", d.URI(lab.QEMU)})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	group, ctx := errgroup.WithContext(ctx)
	uuid, file := "", ""
	var stores []*store
	check := func(t *testing.T, uri, want string) {
		t.Helper()
		if stores == nil { // There are no streams and topics before the first event.
			awaitStored(t, metrics) //nolint:contextcheck // It is t's, which outlives ctx.
			for _, b := range buses {
				stores = append(stores, b.watch(ctx, t, group))
			}
		}
		lab.Eventually(t, lab.Patience, func() error {
			var errs []error
			for _, s := range stores {
				if diff := cmp.Diff(want, s.describe(uuid)); diff != "" {
					errs = append(errs, fmt.Errorf("%s (-want +stored)\n%s", s.name, diff))
				}
			}
			return errors.Join(errs...)
		})
		if actual := domState(d, uri, uuid); !agrees(want, actual) { //nolint:contextcheck // virsh has a deadline of its own
			t.Errorf("%q is stored, and the hypervisor says %q", want, actual)
		}
	}
	type step struct {
		name string
		do   func(t *testing.T)
		want string
	}
	run := func(t *testing.T, uri string, steps []step) {
		t.Helper()
		for _, step := range steps {
			if !t.Run(step.name, func(t *testing.T) { step.do(t); check(t, uri, step.want) }) {
				t.FailNow()
			}
		}
	}
	virsh := func(uri string, args ...string) func(*testing.T) {
		return func(t *testing.T) { t.Helper(); d.Virsh(t, uri, args...) }
	}
	t.Run("test", func(t *testing.T) {
		virsh := func(args ...string) func(*testing.T) { return virsh(lab.Test, args...) }
		define := func(t *testing.T) {
			t.Helper()
			xml := lab.TestDomain("guest")
			if uuid != "" {
				xml = strings.Replace(xml, "<memory", "<uuid>"+uuid+"</uuid><memory", 1)
			}
			uuid = d.Define(t, lab.Test, "guest", xml)
			file = d.WriteXML(t, "guest", strings.Replace(lab.TestDomain("guest"), "<memory", "<uuid>"+uuid+"</uuid><memory", 1))
		}
		run(t, lab.Test, []step{
			{"define", define, "shutoff persistent"},
			{"start", virsh("start", "guest"), "running/booted persistent"},
			{"suspend", virsh("suspend", "guest"), "paused persistent"},
			{"resume", virsh("resume", "guest"), "running persistent"},
			{"shutdown", virsh("shutdown", "guest"), "shutoff/shutdown persistent"},
			{"rename", virsh("domrename", "guest", "visitor"), "shutoff/shutdown persistent"},
			{"rename back", virsh("domrename", "visitor", "guest"), "shutoff/shutdown persistent"},
			{"start again", virsh("start", "guest"), "running/booted persistent"},
			{"undefine while running", virsh("undefine", "guest"), "running/booted transient"},
			{"define while running", define, "running/booted persistent"},
			{"undefine while running again", virsh("undefine", "guest"), "running/booted transient"},
			{"destroy", virsh("destroy", "guest"), "gone"},
			{"create", func(t *testing.T) { t.Helper(); d.Virsh(t, lab.Test, "create", file) }, "running/booted transient"},
			{"destroy the transient one", virsh("destroy", "guest"), "gone"},
			{"define at last", define, "shutoff persistent"},
			{"undefine", virsh("undefine", "guest"), "gone"},
		})
	})
	t.Run("qemu", func(t *testing.T) {
		lab.Require(t, "qemu")
		var g lab.Guest
		virsh := func(command string, args ...string) func(*testing.T) {
			return func(t *testing.T) { t.Helper(); g.Virsh(t, command, args...) }
		}
		guest := func(command byte) func(*testing.T) {
			return func(t *testing.T) { t.Helper(); g.AwaitBoot(t); g.Do(t, command) }
		}
		saved := d.Dir + "/guests/saved"
		run(t, lab.QEMU, []step{
			{"define", func(t *testing.T) { g = *lab.PuppetGuest(t, d, "puppet"); uuid = g.UUID }, "shutoff persistent"},
			{"start", virsh("start"), "running/booted persistent"},
			{"suspend", virsh("suspend"), "paused persistent"},
			{"resume", virsh("resume"), "running persistent"},
			{"sleep", guest('s'), "pmsuspended persistent"},
			{"wake up", virsh("dompmwakeup"), "running/wakeup persistent"},
			{"managed save", virsh("managedsave"), "shutoff/saved persistent"},
			{"start from managed save", virsh("start"), "running/restored persistent"},
			{"save to a file", virsh("save", saved), "shutoff/saved persistent"},
			{"restore from a file", func(t *testing.T) { d.Virsh(t, lab.QEMU, "restore", saved) }, "running/restored persistent"},
			{"destroy", virsh("destroy"), "shutoff/destroyed persistent"},
			{"start paused", virsh("start", "--paused"), "paused persistent"},
			{"resume after start", virsh("resume"), "running persistent"},
			{"kill -9 of the emulator", func(t *testing.T) { g.Kill(t) }, "shutoff persistent"},
			{"start to panic", virsh("start"), "running/booted persistent"},
			{"panic", guest('c'), "shutoff/crashed persistent"},
			{"start to power off", virsh("start"), "running/booted persistent"},
			{"power off", guest('p'), "shutoff/shutdown persistent"},
			{"start to undefine", virsh("start"), "running/booted persistent"},
			{"undefine while running", virsh("undefine"), "running/booted transient"},
			{"destroy undefined", virsh("destroy"), "gone"},
		})
	})
	for _, s := range stores {
		if s.back != nil {
			t.Error(s.back)
		}
	}
	stop()
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}
