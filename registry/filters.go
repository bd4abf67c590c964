package registry

import (
	"github.com/virtcast/virtcast/drivers"
	"github.com/virtcast/virtcast/schema"
)

// refusals are what a hypervisor has refused for good in one session.
type refusals struct {
	filters map[drivers.Filter]struct{}
	// named are the kinds of which filters of single domains were in force.
	named map[schema.Kind]struct{}
}

func (r *refusals) add(f drivers.Filter) {
	if r.filters == nil {
		r.filters = map[drivers.Filter]struct{}{}
	}
	r.filters[f] = struct{}{}
}

func (r *refusals) has(f drivers.Filter) bool {
	_, ok := r.filters[f]
	return ok
}

// succeeded notes the filters that were asked for and are not missing.
func (r *refusals) succeeded(want []drivers.Filter, missing []drivers.Missing) {
	lacking := map[schema.Kind]bool{}
	for _, m := range missing {
		lacking[m.Filter.Kind] = true
	}
	for _, f := range want {
		if f.Domain.IsZero() || lacking[f.Kind] {
			continue
		}
		if r.named == nil {
			r.named = map[schema.Kind]struct{}{}
		}
		r.named[f.Kind] = struct{}{}
	}
}

// replaceable reports whether single domains are worth asking for where every domain of a
// kind was refused: they are if the hypervisor once registered some.
func (r *refusals) replaceable(general drivers.Filter) bool {
	_, ok := r.named[general.Kind]
	return ok && r.has(general)
}

// wanted returns the filters that a connection must have in force: for each kind either
// that of every domain, if any registration wants them all, or that of each domain that
// is named. Filters that the hypervisor has refused are left out.
func wanted(list []*entry, connection string, refused *refusals) []drivers.Filter {
	var want []drivers.Filter
	seen := map[drivers.Filter]struct{}{}
	add := func(f drivers.Filter) {
		if _, twice := seen[f]; twice {
			return
		}
		seen[f] = struct{}{}
		if !refused.has(f) {
			want = append(want, f)
		}
	}
	covered := func(f drivers.Filter) bool {
		general := drivers.Filter{Kind: f.Kind}
		_, wanted := seen[general]
		return wanted && !refused.replaceable(general)
	}
	selected := selecting(list, connection)
	for _, e := range selected {
		if e.Domain == nil {
			for _, kind := range e.Kinds {
				add(drivers.Filter{Kind: kind})
			}
		}
	}
	for _, e := range selected {
		if e.Domain == nil {
			continue
		}
		for _, kind := range e.Kinds {
			if f := (drivers.Filter{Kind: kind, Domain: *e.Domain}); !covered(f) {
				add(f)
			}
		}
	}
	return want
}

// selecting returns the registrations that select a connection.
func selecting(list []*entry, connection string) []*entry {
	var selected []*entry
	for _, e := range list {
		if e.selects(connection) {
			selected = append(selected, e)
		}
	}
	return selected
}
