package config

import (
	"fmt"
	"io"
	"strings"

	"github.com/virtcast/virtcast/drivers/libvirt/transport"
)

// Describe writes what a validated configuration would do, for people. file is where it
// was read from.
func (c *Config) Describe(out io.Writer, file string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s is valid.\n\nWatches\n", file)
	for _, conn := range c.Connections {
		fmt.Fprintf(&b, "  %-16s %s\n", conn.Name, describeURI(conn.URI))
	}
	b.WriteString("\nPublishes\n")
	for _, r := range c.registrations() {
		fmt.Fprintf(&b, "  %s of %s on %s to %s\n",
			orAll(r.Events, "lifecycle"), domainOf(r), orAll(r.Connections, "every connection"), orAll(r.Sinks, "every sink"))
	}
	b.WriteString("\nSinks\n")
	for i := range c.Sinks {
		text, err := c.Sinks[i].Describe()
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "  %-16s %s\n", c.Sinks[i].Name, text)
	}
	fmt.Fprintf(&b, "\nJournal in %s/journal, at most %d MiB\n", strings.TrimSuffix(c.DataDir, "/"), c.Journal.Bytes()>>20)
	_, err := io.WriteString(out, b.String())
	return err
}

// registrations are those that are written, or the one that none means.
func (c *Config) registrations() []Registration {
	if len(c.Registrations) == 0 {
		return []Registration{{}}
	}
	return c.Registrations
}

func describeURI(s string) string {
	uri, err := transport.ParseURI(s)
	if err != nil {
		return s
	}
	return uri.String() + ", read-only"
}

func domainOf(r Registration) string {
	if r.Domain == "" {
		return "every domain"
	}
	return "domain " + r.Domain
}

func orAll(list []string, all string) string {
	if len(list) == 0 {
		return all
	}
	return strings.Join(list, ", ")
}
