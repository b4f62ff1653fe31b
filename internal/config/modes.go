package config

import (
	"errors"
	"fmt"
	"slices"
)

// The modes. Report and Warn change nothing; Warn puts what it finds into the audit trail.
const (
	Report  = "report"
	Warn    = "warn"
	Enforce = "enforce"
)

// GroupMode is the mode of those who are in a group of this host.
type GroupMode struct {
	Group string `yaml:"group"`
	Mode  string `yaml:"mode"`
}

// UserMode is the mode of one user.
type UserMode struct {
	User string `yaml:"user"`
	Mode string `yaml:"mode"`
}

// ModeOf is the mode of a user: that of his own entry, else of the first group in the list that he is in, else Mode. in says
// whether he is in a group, or that nobody knows. Then the milder of the two modes counts that he may have: where it is not
// known whether somebody's files are to be changed, they are not.
func (c Config) ModeOf(user string, in func(group string) (is, known bool)) string {
	for _, u := range c.Users {
		if u.User == user {
			return u.Mode
		}
	}
	mildest := Enforce
	for _, g := range c.Groups {
		switch is, known := in(g.Group); {
		case is:
			return milder(mildest, g.Mode)
		case !known:
			mildest = milder(mildest, g.Mode)
		}
	}
	return milder(mildest, c.Mode)
}

// milder is the one of two modes that does less.
func milder(a, b string) string {
	for _, mode := range []string{Report, Warn} {
		if a == mode || b == mode {
			return mode
		}
	}
	return Enforce
}

// Enforces reports whether anybody's files may be changed.
func (c Config) Enforces() bool {
	return c.Mode == Enforce ||
		slices.ContainsFunc(c.Groups, func(g GroupMode) bool { return g.Mode == Enforce }) ||
		slices.ContainsFunc(c.Users, func(u UserMode) bool { return u.Mode == Enforce })
}

func (c Config) checkModes() error {
	list := []error{oneOf("mode", c.Mode, Report, Warn, Enforce)}
	var groups, users []string
	for i, g := range c.Groups {
		list = append(list, oneOf(fmt.Sprintf("groups[%d].mode", i), g.Mode, Report, Warn, Enforce))
		groups = append(groups, g.Group)
	}
	for i, u := range c.Users {
		list = append(list, oneOf(fmt.Sprintf("users[%d].mode", i), u.Mode, Report, Warn, Enforce))
		users = append(users, u.User)
	}
	return errors.Join(append(list, names("groups", groups), names("users", users), names("admins", c.Admins))...)
}

// names checks a list of names: there is none twice, and none that is empty or that a program would take for an option.
func names(at string, list []string) error {
	var wrong []error
	for i, name := range list {
		switch {
		case name == "" || name[0] == '-':
			wrong = append(wrong, fmt.Errorf("%s[%d]: %q is no name", at, i, name))
		case slices.Contains(list[:i], name):
			wrong = append(wrong, fmt.Errorf("%s[%d]: %q stands there twice", at, i, name))
		}
	}
	return errors.Join(wrong...)
}
