package enforcer_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/policy"
	"github.com/keyreeve/keyreeve/registry"
)

func TestPlanForcedOptions(t *testing.T) {
	const from = `from="10.0.0.0/8"`
	for name, c := range map[string]struct {
		forced, registered, file, want string
		reasons                        []string
	}{
		"a line without any": {"restrict", lineA, lineA + " me\n", "restrict " + lineA + " me\n", []string{"~options"}},
		"it is there":        {"restrict", lineA, "restrict " + lineA + " me\n", "restrict " + lineA + " me\n", []string{"=granted"}},
		"it is undone":       {"restrict", lineA, "restrict,pty,port-forwarding " + lineA + "\n", "restrict " + lineA + "\n", []string{"~options"}},
		"it is undone behind a command": {
			"restrict,pty", lineA, `command="ls",restrict,port-forwarding ` + lineA + "\n", `command="ls",restrict ` + lineA + "\n", []string{"~options"},
		},
		"own narrowing stays":          {from, lineA, `no-pty,from="10.1.0.0/16" ` + lineA + "\n", `no-pty,from="10.1.0.0/16" ` + lineA + "\n", []string{"=granted"}},
		"own from gives way":           {from, lineA, `from="*.example.org" ` + lineA + "\n", from + " " + lineA + "\n", []string{"~options"}},
		"the registry's options first": {from, "restrict " + lineA, lineA + "\n", "restrict," + from + " " + lineA + "\n", []string{"~options"}},
		"what says the same then":      {"restrict", lineA, lineA + " me\npty " + lineA + " me\n", "restrict " + lineA + " me\n", []string{"~options", "-duplicate"}},
		"in the other order":           {"restrict", lineA, "pty " + lineA + " me\n" + lineA + " me\n", "restrict " + lineA + " me\n", []string{"~options", "-duplicate"}},
		"too many with those forced": {
			"restrict", lineA, `command="` + strings.Repeat("x", 4085) + `" ` + lineA + "\n", "", []string{"-malformed-options"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			in := enforcer.Input{Account: alice, Name: ".ssh/authorized_keys", File: regular(c.file), Grants: judging(t, rules(c.forced, 0), nil, c.registered)}
			p := enforcer.MakePlan(in)
			if string(p.After) != c.want || !slices.Equal(reasons(p), c.reasons) {
				t.Errorf("got %q %v, want %q %v", p.After, reasons(p), c.want, c.reasons)
			}
		})
	}
}

// A line that has no room for what is forced goes, and its key does not go with it where all of them are to be there.
func TestPlanForcedTooMany(t *testing.T) {
	long := `command="` + strings.Repeat("x", 4085) + `" ` + lineA + "\n"
	for state, install := range map[homes.State]bool{homes.Regular: true, homes.Unreadable: false, homes.Symlink: false} {
		file := regular(long)
		file.State = state
		in := enforcer.Input{Account: alice, Name: ".ssh/authorized_keys", File: file, Install: install, Grants: judging(t, rules("restrict", 0), nil, lineA)}
		if p := enforcer.MakePlan(in); string(p.After) != "restrict "+lineA+"\n" {
			t.Errorf("%v: got %q", state, p.After)
		}
	}
}

// What a file may hide that gives way whole is there afterwards, also for a host whose sshd is newer.
func TestWithheldHidden(t *testing.T) {
	for _, state := range []homes.State{homes.Symlink, homes.Oversize, homes.Unreadable, homes.BadDir} {
		file := regular("")
		file.State = state
		in := enforcer.Input{Account: alice, Name: ".ssh/authorized_keys", File: file, Grants: judging(t, rules("", 7), nil, "verify-required "+lineA, lineB)}
		p := enforcer.MakePlan(in)
		if want := "verify-required " + lineA + "\n" + lineB + "\n"; string(p.After) != want {
			t.Errorf("%v: got %q, want %q", state, p.After, want)
		}
		in.File = regular(string(p.After))
		if again := enforcer.MakePlan(in); again.Change {
			t.Errorf("%v: %q becomes %q", state, p.After, again.After)
		}
	}
}

// A key of which this host's sshd would ignore the line is in no answer and is not written anew; in a file its line stays, in the form that
// it has on a host whose sshd is newer.
func TestWithheld(t *testing.T) {
	const registered = "verify-required " + lineA
	look := func(file homes.File, sshd int) enforcer.Plan {
		return enforcer.MakePlan(enforcer.Input{
			Account: alice, Name: ".ssh/authorized_keys", File: file, Install: true, Grants: judging(t, rules("", sshd), nil, registered, lineB),
		})
	}
	for text, install := range map[string]bool{lineB + "\n": false, registered + "\n" + lineB + "\n": true, lineA + "\n" + lineB + "\n": true} {
		old, young := look(regular(text), 7), look(regular(text), 9)
		if got := string(old.After); strings.Contains(got, lineA) != install || install && got != string(young.After) {
			t.Errorf("%q becomes %q by an old sshd, %q by a new one", text, got, young.After)
		}
		if again := look(regular(string(young.After)), 7); again.Change {
			t.Errorf("what the new host wrote, the old one makes %q", again.After)
		}
	}
	for sshd, want := range map[int]int{7: 1, 9: 2, 0: 2} {
		user := registry.User{Name: "alice", UID: 2001, GID: 2001, Home: "/home/alice", Records: []registry.Record{record(t, registered), record(t, lineB)}}
		snapshot, err := registry.New([]registry.User{user}, "test")
		if err != nil {
			t.Fatal(err)
		}
		p, err := policy.Compile(rules(`restrict`, sshd))
		if err != nil {
			t.Fatal(err)
		}
		world := enforcer.NewWorld(snapshot, p.Evaluate(snapshot, noon), enforcer.Scope{MinUID: 1})
		for told := range world.Answers() {
			if len(told.Keys) != want || len(told.Refused) != 2-want {
				t.Errorf("OpenSSH %d.7 is told %v, refused are %v", sshd, told.Keys, told.Refused)
			}
			for _, key := range told.Keys {
				if line := authkeys.Parse([]byte(key.Line))[0]; !line.Options.Has("restrict") {
					t.Errorf("sshd is told %q", key.Line)
				}
			}
		}
	}
}

// A key of which sshd would ignore the line lets no administrator in.
func TestCheckAdminsWithheld(t *testing.T) {
	for sshd, want := range map[int]error{7: enforcer.ErrNoAdmin, 9: nil, 0: nil} {
		grants := judging(t, rules("", sshd), nil, "verify-required "+lineA)
		plan := enforcer.MakePlan(enforcer.Input{Account: alice, Name: ".ssh/authorized_keys", File: regular("verify-required " + lineA + "\n"), Grants: grants})
		admin := enforcer.Admin{Name: "alice", Kept: true, Result: enforcer.Result{Account: alice, Plans: []enforcer.Plan{plan}}}
		if err := enforcer.CheckAdmins([]enforcer.Admin{admin}, grants); !errors.Is(err, want) {
			t.Errorf("OpenSSH %d.7: got %v, want %v", sshd, err, want)
		}
	}
}

// What the centre forces on every key is said to be the reason why no administrator would have one for a shell.
func TestCheckAdminsForced(t *testing.T) {
	for force, want := range map[string]string{"restrict,pty": "", `command="gate"`: "binds every key to a command", `expiry-time="20990101"`: "or to an end"} {
		grants := judging(t, rules(force, 0), nil, lineA)
		plan := enforcer.MakePlan(enforcer.Input{Account: alice, Name: ".ssh/authorized_keys", File: regular(lineA + "\n"), Grants: grants})
		admin := enforcer.Admin{Name: "alice", Kept: true, Result: enforcer.Result{Account: alice, Plans: []enforcer.Plan{plan}}}
		err := enforcer.CheckAdmins([]enforcer.Admin{admin}, grants)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", force, err)
		}
	}
}
