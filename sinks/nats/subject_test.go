package nats

import (
	"strings"
	"testing"

	"github.com/virtcast/virtcast/schema"
	"github.com/virtcast/virtcast/sinks/sinktest"
)

func TestSubject(t *testing.T) {
	source := sinktest.NewSource(1, 1)
	started := source.Take(2)[1]
	gap := source.Gap(0)
	unknown := source.Peculiar()[0]
	odd := started
	odd.Connection = &schema.Connection{Name: "a b.c*d>e\u00e9"}
	device := started
	device.Object = schema.Object{Family: schema.FamilyNodeDevice, Name: "pci_0000_00_1f.2"}
	tests := []struct {
		name, template         string
		event                  schema.Event
		want, pattern, filters string
	}{
		{"default", DefaultSubject, started, "virt.kvm00.66000000-0000-4000-8000-000000000000.lifecycle.started.booted", "virt.*.*.*.*.*", "virt.>"},
		{"gap", DefaultSubject, gap, "virt.kvm00._.gap._._", "virt.*.*.*.*.*", "virt.>"},
		{"unknown numbers", DefaultSubject, unknown, "virt.kvm00.66000000-0000-4000-8000-000000000000.lifecycle.unknown-42.unknown-43", "virt.*.*.*.*.*", "virt.>"},
		{"odd name", "v.{connection}", odd, "v.a_b_c_d_e__", "v.*", "v.>"},
		{"node device", "v.{uuid}.x", device, "v.pci_0000_00_1f_2.x", "v.*.x", "v.>"},
		{"no placeholder", "vm.events", started, "vm.events", "vm.events", "vm.events"},
		{"within a token", "a.b.vm-{uuid}.x.{event}", gap, "a.b.vm-_.x._", "a.b.*.x.*", "a.b.>"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := parseSubject(tt.template)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(s.appendTo(nil, &tt.event)); got != tt.want {
				t.Errorf("subject %q, want %q", got, tt.want)
			}
			if s.pattern != tt.pattern || s.filter() != tt.filters {
				t.Errorf("pattern %q, filter %q, want %q and %q", s.pattern, s.filter(), tt.pattern, tt.filters)
			}
			if !covers(s.filter(), s.pattern) {
				t.Errorf("filter %q does not cover pattern %q", s.filter(), s.pattern)
			}
		})
	}
}

func TestCovers(t *testing.T) {
	tests := []struct {
		filter, pattern string
		want            bool
	}{
		{"virt.>", "virt.*.*", true},
		{"virt.*.*", "virt.*.*", true},
		{"virt.*", "virt.*.*", false},
		{"virt.*.*.*", "virt.*.*", false},
		{"virt.kvm01.>", "virt.*.*", false},
		{"virt.>", "virt", false},
		{"virt", "virt", true},
		{">", "a.b", true},
		{"*.b", "a.b", true},
		{"a.b", "a.*", false},
	}
	for _, tt := range tests {
		if got := covers(tt.filter, tt.pattern); got != tt.want {
			t.Errorf("covers(%q, %q) = %t, want %t", tt.filter, tt.pattern, got, tt.want)
		}
	}
}

// FuzzSubject: whatever a template and a name are, a subject that is made has the tokens
// of its pattern, none of them empty or a wildcard.
func FuzzSubject(f *testing.F) {
	f.Add(DefaultSubject, "kvm01")
	f.Add("a.{uuid}x{kind}", "a.b *>")
	f.Add("a.{connection", "")
	f.Add("{}.}", "\x00")
	f.Fuzz(func(t *testing.T, template, name string) {
		s, err := parseSubject(template)
		if err != nil {
			return
		}
		e := sinktest.NewSource(1, 1).Take(1)[0]
		e.Connection = &schema.Connection{Name: name}
		got := string(s.appendTo(nil, &e))
		if strings.ContainsAny(got, " \t\r\n*>") || strings.Contains("."+got+".", "..") {
			t.Errorf("template %q, name %q: subject %q is not valid", template, name, got)
		}
		if !covers(s.pattern, got) || !covers(s.filter(), s.pattern) {
			t.Errorf("template %q: pattern %q and filter %q do not cover %q", template, s.pattern, s.filter(), got)
		}
	})
}
