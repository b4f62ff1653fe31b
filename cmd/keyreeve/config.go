package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keyreeve/keyreeve/internal/config"
	"github.com/keyreeve/keyreeve/internal/host"
	"github.com/keyreeve/keyreeve/internal/statefile"
)

// configBound is far above any configuration that a person writes, ldifBound above any registry.
const (
	configBound = 1 << 20
	ldifBound   = 1 << 30
)

func newConfig(p process, path *string) *cobra.Command {
	group := newGroup("config", "The configuration")
	group.AddCommand(&cobra.Command{
		Use:   "check",
		Short: "Read the configuration and say what is wrong with it",
		Long: "Read the configuration and the files that it names, and say all that is wrong with them.\n" +
			"Nothing is changed, and no server is asked, but for those of NSS if groups are named; sshd is asked for its version.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := loadConfig(*path)
			if err != nil {
				return err
			}
			settings, err := compile(cmd.Context(), c, newSSHD(c.Homes.SSHD), nil)
			if err != nil {
				return fmt.Errorf("%s: %w", *path, err)
			}
			if err := checkNamed(c); err != nil {
				return fmt.Errorf("%s: %w", *path, err)
			}
			groups := modes{config: c, groups: host.NewGroups(p.warn)}
			if err := groups.doubt(); err != nil {
				return fmt.Errorf("%s: groups: %w", *path, err)
			}
			if len(c.Admins) == 0 {
				p.say("note: admins is empty: nobody looks whether an administrator can log in when enforcing begins")
			}
			if forced := settings.Policy.Forced(); !forced.IsZero() {
				p.say(fmt.Sprintf("note: on this host (%s) every line gets the options %s", strings.Join(settings.Policy.Host().Names, ", "), forced))
			}
			_, err = fmt.Fprintf(p.Stdout, "%s is good: mode %s, registry from %s (sha256 %s)\n", *path, c.Mode, c.Registry.Source, c.SHA256)
			return err
		},
	})
	return group
}

// checkNamed looks at the files that the configuration names, as the daemon would.
func checkNamed(c config.Config) error {
	_, err := channelsOf(c.Notify)
	wrong := []error{readRegistry(c.Registry), newSSHD(c.Homes.SSHD).Check(), err}
	if c.Metrics.Textfile != "" {
		if info, err := os.Stat(filepath.Dir(c.Metrics.Textfile)); err != nil {
			wrong = append(wrong, fmt.Errorf("metrics.textfile: the folder: %w", err))
		} else if !info.IsDir() {
			wrong = append(wrong, fmt.Errorf("metrics.textfile: %s is no folder", filepath.Dir(c.Metrics.Textfile)))
		}
	}
	return errors.Join(wrong...)
}

// readRegistry reads the files that the registry's configuration names.
func readRegistry(r config.Registry) error {
	if r.Source == config.LDIFSource {
		if _, err := statefile.Read(r.LDIF.Path, ldifBound); err != nil {
			return fmt.Errorf("registry.ldif.path: %w", err)
		}
		return nil
	}
	directory, err := newDirectory(r)
	if err == nil {
		err = directory.CheckFiles()
	}
	if err != nil {
		return fmt.Errorf("registry.ldap: %w", err)
	}
	return nil
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
		return config.Config{}, unread(fmt.Errorf("read the configuration: %w", err),
			fmt.Sprintf("it must be a regular file that only root, or the user who runs keyreeve (uid %d), may write", os.Geteuid()))
	}
	return config.Parse(path, data)
}
