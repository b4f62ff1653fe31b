package enforcer_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/policy"
	"github.com/keyreeve/keyreeve/registry"
)

// Whose homes are kept, and why the others are not.
func TestNewWorld(t *testing.T) {
	entry := func(name string, uid int, home string) registry.User {
		return registry.User{Name: name, UID: uid, GID: 100, Home: home, Records: []registry.Record{{}}}
	}
	snapshot, err := registry.New([]registry.User{
		entry("alice", 2001, "/home/alice"), entry("low", 999, "/home/low"), entry("named", 5, "/home/named"),
		entry("root", 0, "/root"), entry("nouid", -1, "/home/nouid"), entry("nohome", 2002, ""), entry("slash", 2003, "/"),
		entry("relative", 2004, "home/relative"), entry("glob", 2005, "/home/[a]"), entry("../etc", 2006, "/home/x"),
		entry("one", 2007, "/home/shared"), entry("two", 2008, "/home/shared"), entry("three", 2009, "/home/shared"),
	}, "test")
	if err != nil {
		t.Fatal(err)
	}
	rules, err := policy.Compile(policy.DefaultRules())
	if err != nil {
		t.Fatal(err)
	}
	scope := enforcer.Scope{
		MinUID: 1000, Include: []string{"named", "local", "gone", "alice"},
		Lookup: func(name string) (homes.Account, error) {
			if name == "local" {
				return homes.Account{Name: name, UID: 50, GID: 50, Home: "/var/local"}, nil
			}
			return homes.Account{}, errors.New("unknown user")
		},
	}
	w := enforcer.NewWorld(snapshot, rules.Evaluate(snapshot, time.Now()), scope)
	var kept []string
	for _, a := range w.Accounts() {
		kept = append(kept, a.Name)
		if got, ok := w.Account(a.Name); !ok || got != a {
			t.Errorf("Account(%s) = %v, %v", a.Name, got, ok)
		}
	}
	if want := []string{"alice", "local", "named"}; !slices.Equal(kept, want) {
		t.Errorf("kept are %v, want %v", kept, want)
	}
	for user, why := range map[string]string{
		"low": "its uid 999 is below 1000", "root": "its uid 0 is below 1000", "nouid": "uid", "nohome": "not an absolute path",
		"slash": "nobody's home", "relative": "not an absolute path", "glob": "sshd expands", "../etc": "not a plain login name",
		"one": "its home /home/shared is that of", "two": "its home /home/shared is that of one too", "three": "that of one too",
		"gone": "included by name, but unknown user",
	} {
		i := slices.IndexFunc(w.Skips(), func(s enforcer.Skip) bool { return s.User == user })
		if i < 0 || !strings.Contains(w.Skips()[i].Why, why) {
			t.Errorf("%s is left alone because of %v, want %q", user, w.Skips(), why)
		}
	}
	if len(w.Skips()) != 12 {
		t.Errorf("%d accounts are left alone: %v", len(w.Skips()), w.Skips())
	}
}
