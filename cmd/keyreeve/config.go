package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/keyreeve/keyreeve/internal/config"
	"github.com/keyreeve/keyreeve/internal/statefile"
)

// configBound is far above any configuration that a person writes.
const configBound = 1 << 20

func newConfig(p process, path *string) *cobra.Command {
	group := &cobra.Command{
		Use: "config", Short: "The configuration", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	group.AddCommand(&cobra.Command{
		Use:   "check",
		Short: "Read the configuration and say what is wrong with it",
		Long: "Read the configuration and the files that it names, and say all that is wrong with them.\n" +
			"Nothing is changed, and no server is asked.",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			c, err := loadConfig(*path)
			if err != nil {
				return err
			}
			if _, err := compile(c); err != nil {
				return fmt.Errorf("%s: %w", *path, err)
			}
			_, err = fmt.Fprintf(p.Stdout, "%s is good: mode %s, registry from %s (sha256 %s)\n", *path, c.Mode, c.Registry.Source, c.SHA256)
			return err
		},
	})
	return group
}

// loadConfig reads the configuration. Who can write it decides what root does, so it must be as well kept as the
// daemon's own files.
func loadConfig(path string) (config.Config, error) {
	data, err := statefile.Read(path, configBound)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return config.Config{}, withHint(fmt.Errorf("read the configuration: %w", err),
			"name another file with --config, or begin with the commented example configs/keyreeve.yaml")
	case err != nil:
		return config.Config{}, withHint(fmt.Errorf("read the configuration: %w", err),
			"it must be a regular file that only root, or the user who runs keyreeve (uid %d), may write", os.Geteuid())
	}
	return config.Parse(path, data)
}
