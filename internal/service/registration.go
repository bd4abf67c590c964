package service

import (
	"github.com/virtcast/virtcast/internal/config"
	"github.com/virtcast/virtcast/registry"
	"github.com/virtcast/virtcast/schema"
)

// registrations translates the configured registrations, or makes the one that none
// means.
func registrations(c *config.Config) []registry.Registration {
	if len(c.Registrations) == 0 {
		return []registry.Registration{{Kinds: []schema.Kind{schema.KindLifecycle}}}
	}
	all := make([]registry.Registration, len(c.Registrations))
	for i, r := range c.Registrations {
		all[i] = registry.Registration{Connections: r.Connections, Kinds: kinds(r.Events)}
		if len(r.Sinks) > 0 {
			all[i].Sinks = r.Sinks
		}
		if r.Domain != "" {
			uuid, _ := schema.ParseUUID(r.Domain) // validated
			all[i].Domain = &uuid
		}
	}
	return all
}

func kinds(events []string) []schema.Kind {
	kinds := make([]schema.Kind, 0, len(events))
	for _, name := range events {
		if kind, ok := schema.ParseKind(name); ok {
			kinds = append(kinds, kind)
		}
	}
	if len(kinds) == 0 {
		kinds = append(kinds, schema.KindLifecycle)
	}
	return kinds
}
