package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/virtcast/virtcast/drivers/libvirt/transport"
)

func newCheckCommand() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "check -c FILE",
		Short: "Validate a configuration and say what would be watched and published",
		Long: `Check reads a configuration as run does, environment variables included, and connects to
nothing. It says what would be watched and published, or names every fault with
its line, column and cure.

Exit codes: 0 the configuration is right, 2 it is not.`,
		Example: "  virtcast check -c virtcast.yaml",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if file == "" {
				return usageError{fmt.Errorf("name the configuration: virtcast check -c virtcast.yaml")}
			}
			config, err := loadConfig(file)
			if err != nil {
				return err
			}
			return config.describe(c.OutOrStdout(), file)
		},
	}
	c.Flags().StringVarP(&file, "config", "c", "", "the configuration `file` (YAML)")
	return c
}

// describe says what a validated configuration would do.
func (c *Config) describe(out io.Writer, file string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s is valid.\n\nWatches\n", file)
	for _, conn := range c.Connections {
		fmt.Fprintf(&b, "  %-16s %s\n", conn.Name, describeURI(conn.URI))
	}
	b.WriteString("\nPublishes\n")
	regs := c.Registrations
	if len(regs) == 0 {
		regs = []RegistrationConfig{{}}
	}
	for _, r := range regs {
		fmt.Fprintf(&b, "  %s of %s on %s to %s\n",
			orAll(r.Events, "lifecycle"), domainOf(r), orAll(r.Connections, "every connection"), orAll(r.Sinks, "every sink"))
	}
	b.WriteString("\nSinks\n")
	for i := range c.Sinks {
		kind, err := c.Sinks[i].kind()
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "  %-16s %s\n", c.Sinks[i].Name, kind.describe())
	}
	fmt.Fprintf(&b, "\nJournal in %s/journal, at most %d MiB\n", strings.TrimSuffix(c.DataDir, "/"), c.journalBytes()>>20)
	_, err := io.WriteString(out, b.String())
	return err
}

func describeURI(s string) string {
	uri, err := transport.ParseURI(s)
	if err != nil {
		return s
	}
	return uri.String() + ", read-only"
}

func domainOf(r RegistrationConfig) string {
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

// publishesTo describes every sink in one line.
func (c *Config) publishesTo() string {
	all := make([]string, 0, len(c.Sinks))
	for i := range c.Sinks {
		if kind, err := c.Sinks[i].kind(); err == nil {
			all = append(all, kind.describe())
		}
	}
	return strings.Join(all, "; ")
}
