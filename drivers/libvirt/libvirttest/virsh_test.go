package libvirttest

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/virtcast/virtcast/e2e/lab"
)

// TestVirsh: libvirt's own client takes a Server for a libvirtd.
func TestVirsh(t *testing.T) {
	lab.Require(t, "libvirtd")
	s := NewServer(Options{})
	defer s.Close()
	path := filepath.Join(t.TempDir(), "sock")
	if _, err := s.Listen("unix", path); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		command string
		want    []string // in what it prints
	}{
		{"hostname", []string{"libvirttest"}},
		{"version", []string{"Using API: TEST", "library: libvirt 9.0.0"}},
		{"list --all", []string{"1", "test", "running"}},
		{"suspend test", nil},
		{"domstate test --reason", []string{"paused (user)"}},
		{"list --all --state-paused", []string{"test", "paused"}},
		{"resume test", nil},
		{"domstats --state", []string{"state.state=1", "state.reason=5"}},
		{"destroy test", nil},
		{"domuuid test", []string{TestDomainUUID.String()}},
	}
	for _, test := range tests {
		got, err := lab.TryVirsh("test+unix:///default?socket="+path, strings.Fields(test.command)...)
		if err != nil {
			t.Errorf("%s: %v", test.command, err)
			continue
		}
		for _, want := range test.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: got %q, want %q in it", test.command, got, want)
			}
		}
	}
}

func TestVirshReceivesEvents(t *testing.T) {
	lab.Require(t, "libvirtd")
	s := NewServer(Options{})
	defer s.Close()
	path := filepath.Join(t.TempDir(), "sock")
	if _, err := s.Listen("unix", path); err != nil {
		t.Fatal(err)
	}
	printed := make(chan string, 1)
	go func() {
		out, err := lab.TryVirsh("test+unix:///default?socket="+path, "event", "--domain", "test", "--event", "lifecycle", "--timeout", "30")
		if err != nil {
			t.Error(err)
		}
		printed <- out
	}()
	d, _ := s.Domain(TestDomainUUID)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if clients := s.Clients(); len(clients) > 0 && len(clients[0].Info().Filters) > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("virsh does not register")
		}
	}
	d.Emit(3, 2)
	if got, want := <-printed, "event 'lifecycle' for domain 'test': Suspended I/O Error"; !strings.Contains(got, want) {
		t.Errorf("got %q, want %q in it", got, want)
	}
}
