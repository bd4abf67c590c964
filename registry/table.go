package registry

import (
	"cmp"
	"slices"

	"github.com/virtcast/virtcast/schema"
)

// target is where the observations of one kind, of one domain or of those that nobody
// names, go on one connection. It is never changed.
type target struct {
	// record is whether any sink is named; sinks is their union, nil for every sink.
	record bool
	sinks  []string
	// callbacks are the registrations with a callback, in order of ID.
	callbacks []*entry
}

// table is the registrations that select one connection, prepared for matching. It is
// never changed: a new one is made when the registry's list is another.
type table struct {
	list  *[]*entry
	kinds map[schema.Kind]*kindTable
	// gap is where the connection's gaps go: to every sink that any of the registrations
	// names.
	gap *target
	// route is [schema.Matched].Route.
	route func(*schema.Observation) (sinks []string, ok bool)
}

type kindTable struct {
	// domains has a target for each domain that a registration names, general
	// registrations included; general is for the others. nil is nowhere.
	domains map[schema.UUID]*target
	general *target
}

func newTable(list *[]*entry, connection string) *table {
	t := &table{list: list, kinds: map[schema.Kind]*kindTable{}}
	var selected []*entry
	byKind := map[schema.Kind][]*entry{}
	for _, e := range *list {
		if !e.selects(connection) {
			continue
		}
		selected = append(selected, e)
		for _, kind := range e.Kinds {
			byKind[kind] = append(byKind[kind], e)
		}
	}
	t.gap = newTarget(selected)
	t.route = t.sinksOf
	for kind, entries := range byKind {
		t.kinds[kind] = newKindTable(entries)
	}
	return t
}

func newKindTable(entries []*entry) *kindTable {
	k := new(kindTable)
	general := slices.DeleteFunc(slices.Clone(entries), func(e *entry) bool { return e.Domain != nil })
	k.general = newTarget(general)
	if len(general) == len(entries) {
		return k
	}
	named := map[schema.UUID][]*entry{}
	for _, e := range entries {
		if e.Domain != nil {
			named[*e.Domain] = append(named[*e.Domain], e)
		}
	}
	k.domains = make(map[schema.UUID]*target, len(named))
	for domain, own := range named {
		all := slices.Concat(own, general)
		slices.SortFunc(all, func(a, b *entry) int { return cmp.Compare(a.id, b.id) })
		k.domains[domain] = newTarget(all)
	}
	return k
}

// newTarget returns the union of registrations; nil for none.
func newTarget(entries []*entry) *target {
	if len(entries) == 0 {
		return nil
	}
	t := &target{sinks: []string{}}
	for _, e := range entries {
		if e.Callback != nil {
			t.callbacks = append(t.callbacks, e)
		}
		switch {
		case e.Sinks == nil:
			t.record, t.sinks = true, nil
		case t.sinks != nil:
			t.record = t.record || len(e.Sinks) > 0
			t.sinks = append(t.sinks, e.Sinks...)
		}
	}
	slices.Sort(t.sinks)
	t.sinks = slices.Compact(t.sinks)
	return t
}

// match returns where o goes; nil is nowhere. It does not allocate.
func (t *table) match(o *schema.Observation) *target {
	if o.Kind == schema.KindGap {
		return t.gap
	}
	return t.kinds[o.Kind].match(o)
}

// match returns where o goes, which is of the table's kind; nil is nowhere.
func (k *kindTable) match(o *schema.Observation) *target {
	if k == nil {
		return nil
	}
	if k.domains != nil {
		if target, ok := k.domains[o.Object.UUID]; ok {
			return target
		}
	}
	return k.general
}

// sinksOf returns the sinks that o goes to; ok is false for none.
func (t *table) sinksOf(o *schema.Observation) (sinks []string, ok bool) {
	target := t.match(o)
	if target == nil || !target.record {
		return nil, false
	}
	return target.sinks, true
}
