package config

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// Off is a value of PrivateKeys.Action, beside Report.
const Off = "off"

// PrivateKeys says what is done about private keys in homes that no passphrase protects.
type PrivateKeys struct {
	// Action is Report or Off.
	Action string `yaml:"action"`
	// Dirs are where they are looked for, relative to a home, with what is below.
	Dirs []string `yaml:"dirs"`
}

// maxPrivateDirs bounds what a pass has to look at.
const maxPrivateDirs = 16

func (p PrivateKeys) check() error {
	list := []error{oneOf("private_keys.action", p.Action, Report, Off)}
	if p.Action == Report && len(p.Dirs) == 0 {
		list = append(list, errors.New(`private_keys.dirs: it names no directory; "action: off" looks nowhere`))
	}
	if len(p.Dirs) > maxPrivateDirs {
		list = append(list, fmt.Errorf("private_keys.dirs: %d are more than %d", len(p.Dirs), maxPrivateDirs))
	}
	for i, dir := range p.Dirs {
		at := fmt.Sprintf("private_keys.dirs[%d]", i)
		switch {
		case !fs.ValidPath(dir) || dir == "." || strings.ContainsFunc(dir, func(r rune) bool { return r < ' ' || r > '~' }):
			list = append(list, fmt.Errorf("%s: %q is not the plain path of a directory below a home, such as .ssh", at, dir))
		case slices.ContainsFunc(p.Dirs[:i], func(other string) bool { return below(dir, other) || below(other, dir) }):
			list = append(list, fmt.Errorf("%s: %q is in the list already, or one of the two is below the other", at, dir))
		}
	}
	return errors.Join(list...)
}

// below reports that a path is another one, or below it.
func below(dir, other string) bool { return strings.HasPrefix(dir+"/", other+"/") }
