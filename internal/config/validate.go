package config

import (
	"fmt"
	"net"
	"path"
	"regexp"
	"slices"
	"time"

	"github.com/virtcast/virtcast/drivers/libvirt/transport"
	"github.com/virtcast/virtcast/internal/field"
	"github.com/virtcast/virtcast/schema"
)

// minJournal is the least that a journal can work with.
const minJournal = 16 << 20

// Validate reports every fault at once, each a *field.Error.
func (c *Config) Validate() error {
	var f field.Faults
	if c.DataDir == "" {
		f.Add("data_dir", "name a directory for the journal, such as /var/lib/virtcast", "missing")
	}
	c.validateConnections(&f)
	c.validateSinks(&f)
	c.validateRegistrations(&f)
	if n := c.Journal.MaxBytes; n != 0 && n < minJournal {
		f.Add("journal.max_bytes", "give it 16MiB or more", "%d bytes are too few to work with", n)
	}
	if _, known := c.Log.level(); !known {
		f.Add("log.level", "write debug, info, warn or error", "unknown level %q", c.Log.Level)
	}
	if !slices.Contains([]string{"", "text", "json"}, c.Log.Format) {
		f.Add("log.format", "write text or json", "unknown format %q", c.Log.Format)
	}
	if c.Metrics.Listen != "" {
		if _, _, err := net.SplitHostPort(c.Metrics.Listen); err != nil {
			f.Add("metrics.listen", "write host:port, such as 127.0.0.1:9177", "%v", err)
		}
	}
	return f.Err()
}

// goodName is the form of the names of connections and sinks.
var goodName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

const nameCure = "write 1 to 63 of a-z, 0-9 and -, neither first nor last a -"

// names reports names that are missing, malformed or there twice.
type names map[string]field.Path

func (seen names) check(f *field.Faults, p field.Path, name string) {
	switch first, twice := seen[name]; {
	case name == "":
		f.Add(p, nameCure, "missing")
	case !goodName.MatchString(name):
		f.Add(p, nameCure, "%q is no name", name)
	case twice:
		f.Add(p, "give each a name of its own", "%q is already the name of %s", name, first)
	default:
		seen[name] = p
	}
}

func (c *Config) validateConnections(f *field.Faults) {
	const list = field.Path("connections")
	if len(c.Connections) == 0 {
		f.Add(list, "add one: {name: local, uri: qemu:///system}", "nothing to watch")
	}
	seen := names{}
	for i, conn := range c.Connections {
		p := list.Index(i)
		seen.check(f, p.Key("name"), conn.Name)
		if conn.URI == "" {
			f.Add(p.Key("uri"), "write a libvirt URI, such as qemu:///system or qemu+tls://kvm01.example.com/system", "missing")
		} else if _, err := transport.ParseURI(conn.URI); err != nil {
			f.Add(p.Key("uri"), "", "%v", err)
		}
		if k := conn.Keepalive; k.Interval != 0 && (k.Interval < time.Second || k.Interval > time.Hour) {
			f.Add(p.Key("keepalive.interval"), "write 1s to 1h; 5s is the default", "%v is out of range", k.Interval)
		}
		if k := conn.Keepalive; k.Count < 0 || k.Count > 100 {
			f.Add(p.Key("keepalive.count"), "write 1 to 100; 5 is the default", "%d is out of range", k.Count)
		}
	}
}

func (c *Config) validateSinks(f *field.Faults) {
	const list = field.Path("sinks")
	if len(c.Sinks) == 0 {
		f.Add(list, `add one: {name: screen, jsonl: {path: "-"}}`, "nowhere to publish")
	}
	seen := names{}
	for i := range c.Sinks {
		p := list.Index(i)
		seen.check(f, p.Key("name"), c.Sinks[i].Name)
		c.Sinks[i].validate(p, f)
	}
}

func (c *Config) validateRegistrations(f *field.Faults) {
	for i, r := range c.Registrations {
		p := field.Path("registrations").Index(i)
		for j, pattern := range r.Connections {
			if err := c.matchesAny(pattern); err != nil {
				f.Add(p.Key("connections").Index(j), "write a connection's name, or a pattern such as kvm*", "%v", err)
			}
		}
		if r.Domain != "" {
			if _, err := schema.ParseUUID(r.Domain); err != nil {
				f.Add(p.Key("domain"), "write a domain's UUID (virsh domuuid NAME), or leave it out for every domain", "%v", err)
			}
		}
		for j, name := range r.Events {
			if kind, ok := schema.ParseKind(name); !ok || kind.Family() != schema.FamilyDomain {
				f.Add(p.Key("events").Index(j), "this version knows: lifecycle", "unknown kind of event %q", name)
			}
		}
		for j, name := range r.Sinks {
			if !slices.ContainsFunc(c.Sinks, func(s Sink) bool { return s.Name == name }) {
				f.Add(p.Key("sinks").Index(j), "name one of: "+c.SinkNames(), "there is no sink %q", name)
			}
		}
	}
}

func (c *Config) matchesAny(pattern string) error {
	for _, conn := range c.Connections {
		ok, err := path.Match(pattern, conn.Name)
		if err != nil {
			return fmt.Errorf("%q is no pattern: %w", pattern, err)
		}
		if ok {
			return nil
		}
	}
	return fmt.Errorf("no connection matches %q", pattern)
}
