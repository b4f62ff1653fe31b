package main

import (
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

func newVersion(p process) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Say what this program is and what it was built from",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprint(p.Stdout, version())
			return err
		},
	}
}

// version reads what the Go linker wrote into the program: the tag or commit, and the modules that decide about keys.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "keyreeve (built without module information)\n"
	}
	settings := make(map[string]string)
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	lines := []string{"keyreeve " + info.Main.Version}
	if commit := settings["vcs.revision"]; commit != "" {
		line := fmt.Sprintf("commit %s %s", commit, settings["vcs.time"])
		if settings["vcs.modified"] == "true" {
			line += " with local changes"
		}
		lines = append(lines, line)
	}
	lines = append(lines, info.GoVersion)
	for _, module := range info.Deps {
		switch module.Path {
		case "golang.org/x/crypto", "github.com/go-ldap/ldap/v3", "github.com/fsnotify/fsnotify":
			lines = append(lines, module.Path+" "+module.Version)
		}
	}
	return strings.Join(lines, "\n") + "\n"
}
