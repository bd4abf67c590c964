package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/virtcast/virtcast/internal/config"
)

func newCheckCommand() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "check -c FILE",
		Short: "Validate a configuration and print what would be watched and published",
		Long: `Check reads a configuration as run does, environment variables included, and connects to
nothing. It prints what would be watched and published, or names every fault with
its line, column and cure.

Exit codes: 0 the configuration is right, 2 it is not.`,
		Example: "  virtcast check -c virtcast.yaml",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if file == "" {
				return usageError{errors.New("name the configuration: virtcast check -c virtcast.yaml")}
			}
			loaded, err := config.Load(file)
			if err != nil {
				return err
			}
			return loaded.Describe(c.OutOrStdout(), file)
		},
	}
	c.Flags().StringVarP(&file, "config", "c", "", "the configuration `file` (YAML)")
	return c
}
