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
		entry("one", 2007, "/home/shared"), entry("two", 2007, "/home/shared"), entry("three", 2009, "/home/shared"),
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
	if want := []string{"alice", "local", "named", "three"}; !slices.Equal(kept, want) {
		t.Errorf("kept are %v, want %v", kept, want)
	}
	for user, why := range map[string]string{
		"low": "its uid 999 is below 1000", "root": "its uid 0 is below 1000", "nouid": "uid", "nohome": "not an absolute path",
		"slash": "nobody's home", "relative": "not an absolute path", "glob": "sshd expands", "../etc": "not a plain login name",
		"one": "its home /home/shared is that of two too", "two": "its home /home/shared is that of one too",
		"gone": "included by name, but unknown user",
	} {
		i := slices.IndexFunc(w.Skips(), func(s enforcer.Skip) bool { return s.User == user })
		if i < 0 || !strings.Contains(w.Skips()[i].Why, why) {
			t.Errorf("%s is left alone because of %v, want %q", user, w.Skips(), why)
		}
	}
	if len(w.Skips()) != 11 {
		t.Errorf("%d accounts are left alone: %v", len(w.Skips()), w.Skips())
	}
}

// No entry can be an account that this host has of its own, take its home, or be root.
func TestNewWorldBesideLocalAccounts(t *testing.T) {
	here := []homes.Account{
		{Name: "root", UID: 0, Home: "/root"},
		{Name: "daemon", UID: 1, Home: "/usr/sbin"},
		{Name: "nobody", UID: 65534, Home: "/nonexistent"},
		{Name: "ubuntu", UID: 1000, Home: "/home/ubuntu"},
		{Name: "synced", UID: 2020, Home: "/home/synced"},
		{Name: "toor", UID: 0, Home: "/root2"},
		{Name: "double", UID: 2021, Home: "/home/d1"},
		{Name: "double", UID: 2022, Home: "/home/d2"},
	}
	for name, c := range map[string]struct {
		uid  int
		home string
		want string // "" for kept
	}{
		"alice":  {2001, "/home/alice", ""},
		"root":   {5000, "/home/r", "its name is that of an account of this host with the uid 0"},
		"daemon": {5001, "/home/daemon", "its name is that of an account of this host with the uid 1"},
		"ubuntu": {5002, "/home/ubuntu", "its name is that of an account of this host with the uid 1000"},
		"eve":    {5003, "/root", "its home /root is that of root, an account of this host"},
		"bob":    {5004, "/home/ubuntu", "its home /home/ubuntu is that of ubuntu, an account of this host"},
		"synced": {2020, "/home/synced", ""},
		"moved":  {1000, "/home/moved", ""}, // a uid twice is no claim: his own home has to have it
		"double": {2022, "/home/d2", ""},
		"homely": {5005, "/nonexistent", ""}, // sshd may read a file of his elsewhere
		"svc":    {0, "/home/svc", "its uid is 0, and this host has no such account"},
		"toor":   {0, "/root2", ""},
	} {
		t.Run(name, func(t *testing.T) {
			snapshot, err := registry.New([]registry.User{{Name: name, UID: c.uid, GID: 100, Home: c.home, Records: []registry.Record{{}}}}, "test")
			if err != nil {
				t.Fatal(err)
			}
			scope := enforcer.Scope{MinUID: 1000, Include: []string{"svc", "toor"}, Lookup: lookupNobody, Local: func() ([]homes.Account, error) { return here, nil }}
			w := enforcer.NewWorld(snapshot, mustCompile(t, policy.DefaultRules()).Evaluate(snapshot, time.Now()), scope)
			_, kept := w.Account(name)
			at := slices.IndexFunc(w.Skips(), func(s enforcer.Skip) bool { return s.User == name })
			if kept != (c.want == "") || !kept && w.Skips()[at].Why != c.want {
				t.Errorf("kept: %v, left alone: %v; want %q", kept, w.Skips(), c.want)
			}
		})
	}
	// The list that cannot be read is told, and takes nobody's home out of the daemon's care.
	snapshot, err := registry.New([]registry.User{{Name: "alice", UID: 2001, GID: 1, Home: "/home/alice", Records: []registry.Record{{}}}}, "test")
	if err != nil {
		t.Fatal(err)
	}
	scope := enforcer.Scope{MinUID: 1000, Local: func() ([]homes.Account, error) { return nil, errors.New("permission denied") }}
	w := enforcer.NewWorld(snapshot, mustCompile(t, policy.DefaultRules()).Evaluate(snapshot, time.Now()), scope)
	if len(w.Accounts()) != 1 || len(w.Skips()) != 1 || !strings.Contains(w.Skips()[0].Why, "permission denied") {
		t.Errorf("kept %v, told %v", w.Accounts(), w.Skips())
	}
}

func lookupNobody(string) (homes.Account, error) { return homes.Account{}, errors.New("unknown user") }

// A home in another form is the same home: of who is in the registry, who left, who is included by name, and this host's own. What is no other
// form of a plain path is left alone.
func TestNewWorldTidiesHomes(t *testing.T) {
	entry := func(name string, uid int, home string) registry.User {
		return registry.User{Name: name, UID: uid, GID: 1, Home: home, Records: []registry.Record{{}}}
	}
	snapshot, err := registry.New([]registry.User{
		entry("dot", 2001, "/home/./dot"), entry("double", 2002, "//home//double"), entry("slash", 2003, "/home/slash/"), entry("plain", 2004, "/home/plain"),
		entry("up", 2005, "/home/dot/../up"), entry("one", 2006, "/home/shared"), entry("two", 2006, "/home/shared/."), entry("thief", 2007, "/srv/own/."),
		entry("root", 2008, "/."), entry("relative", 2009, "./home/relative"),
	}, "test")
	if err != nil {
		t.Fatal(err)
	}
	scope := enforcer.Scope{MinUID: 1000, Include: []string{"named"}, Lookup: func(name string) (homes.Account, error) {
		return homes.Account{Name: name, UID: 50, GID: 50, Home: "/var/named/"}, nil
	}, Local: func() ([]homes.Account, error) {
		return []homes.Account{{Name: "own", UID: 60, Home: "/srv/own/"}}, nil
	}}
	ledger := enforcer.NewLedger()
	both, err := snapshot.With(entry("left", 2010, "/home/left/."))
	if err != nil {
		t.Fatal(err)
	}
	ledger.Accept(both, "one", true, noon)
	ledger.Accept(snapshot, "one", true, noon)
	w := enforcer.NewWorld(snapshot, mustCompile(t, policy.DefaultRules()).Evaluate(snapshot, noon), scope, ledger.Departed()...)
	var kept []string
	for _, a := range w.Accounts() {
		kept = append(kept, a.Home)
	}
	if want := []string{"/home/dot", "/home/double", "/home/left", "/var/named", "/home/plain", "/home/slash"}; !slices.Equal(kept, want) {
		t.Errorf("kept are %q, want %q; left alone are %v", kept, want, w.Skips())
	}
}

// Two entries with one uid and homes of their own are both kept: each file is judged by the keys of its own name.
func TestNewWorldOfOneUID(t *testing.T) {
	snapshot, err := registry.New([]registry.User{
		{Name: "one", UID: 2001, GID: 1, Home: "/home/one", Records: []registry.Record{{}}}, {Name: "two", UID: 2001, GID: 1, Home: "/home/two"},
	}, "test")
	if err != nil {
		t.Fatal(err)
	}
	w := enforcer.NewWorld(snapshot, mustCompile(t, policy.DefaultRules()).Evaluate(snapshot, time.Now()), enforcer.Scope{MinUID: 1000})
	if len(w.Accounts()) != 2 || len(w.Skips()) != 0 {
		t.Errorf("kept %v, left alone %v", w.Accounts(), w.Skips())
	}
}

// Who left the registry is kept, unless his uid is another one's by now: whose a home is that others name too, the look finds out.
func TestNewWorldKeepsWhoLeft(t *testing.T) {
	entry := func(name string, uid int, home string) registry.User {
		return registry.User{Name: name, UID: uid, GID: 100, Home: home, Records: []registry.Record{{}}}
	}
	snapshot, err := registry.New([]registry.User{entry("alice", 2001, "/home/alice"), entry("low", 5, "/srv/low"), entry("back", 2002, "/home/back")}, "test")
	if err != nil {
		t.Fatal(err)
	}
	left := func(name string, uid int, home string, days int) enforcer.Gone {
		return enforcer.Gone{Account: homes.Account{Name: name, UID: uid, GID: 100, Home: home}, Since: noon.AddDate(0, 0, -days)}
	}
	scope := enforcer.Scope{MinUID: 1000, Include: []string{"named", "local", "strange"}, Lookup: func(name string) (homes.Account, error) {
		if name == "local" {
			return homes.Account{Name: name, UID: 3001, GID: 100, Home: "/home/local"}, nil
		}
		return homes.Account{}, errors.New("unknown user")
	}, Local: func() ([]homes.Account, error) {
		return []homes.Account{{Name: "here", UID: 900, Home: "/var/here"}}, nil
	}}
	w := enforcer.NewWorld(snapshot, mustCompile(t, policy.DefaultRules()).Evaluate(snapshot, noon), scope,
		left("bob", 2003, "/home/bob", 0), left("uid", 2001, "/home/uid", 1), left("home", 2004, "/home/alice", 2), left("skipped", 2005, "/srv/low", 3),
		left("newer", 2006, "/home/same", 4), left("older", 2007, "/home/same", 5), left("twin", 2003, "/home/twin", 6), left("service", 7, "/home/service", 7),
		left("named", 8, "/home/named", 8), left("local", 9, "/home/old", 9), left("taken", 3001, "/home/taken", 10), left("slash", 2010, "/", 11),
		left("here", 2011, "/home/here", 12), left("renamed", 2006, "/home/same", 13),
	)
	var kept []string
	for _, a := range w.Accounts() {
		if when, gone := w.Departed()[a.Name]; gone {
			kept = append(kept, a.Name)
			if when.After(noon) || when.IsZero() {
				t.Errorf("%s left at %v", a.Name, when)
			}
		}
	}
	if want := []string{"bob", "home", "named", "newer", "older", "skipped", "twin"}; !slices.Equal(kept, want) || len(w.Departed()) != len(want) || len(w.Accounts()) != 10 {
		t.Errorf("kept of who left are %v of %v, want %v", kept, w.Accounts(), want)
	}
	for user, why := range map[string]string{
		"uid":     "its user left the registry, and its uid 2001 is now another's",
		"renamed": "its user left the registry, and its home /home/same is another's too", "taken": "its uid 3001 is now another's",
		"slash": "nobody's home", "here": "its name is that of an account of this host", "strange": "included by name, but unknown user",
	} {
		i := slices.IndexFunc(w.Skips(), func(s enforcer.Skip) bool { return s.User == user })
		if i < 0 || !strings.Contains(w.Skips()[i].Why, why) {
			t.Errorf("%s is left alone because of %v, want %q", user, w.Skips(), why)
		}
	}
}
