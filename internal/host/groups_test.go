package host

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/testenv"
)

// NSS says which groups a user is in.
func TestGroups(t *testing.T) {
	testenv.Need(t, "root")
	a := homes.Account(testenv.NewAccount(t))
	other := homes.Account(testenv.NewAccount(t))
	if out, err := exec.Command("/usr/sbin/usermod", "-a", "-G", other.Name, a.Name).CombinedOutput(); err != nil {
		t.Fatalf("usermod: %v %s", err, out)
	}
	got, err := NewGroups(func(err error) { t.Log(err) }).Of(a)
	if err != nil || !slices.Contains(got, other.GID) {
		t.Errorf("groups %v, error %v, want one of them to be %d", got, err, other.GID)
	}
	// Without getent /etc/group is read.
	g := NewGroups(func(err error) { t.Log(err) })
	g.program = ""
	if got, err := g.Of(a); err != nil || !slices.Contains(got, other.GID) {
		t.Errorf("groups %v, error %v, want one of them to be %d", got, err, other.GID)
	}
	// NSS that does not know the account may be away.
	g.program = filepath.Join(t.TempDir(), "getent")
	if err := os.WriteFile(g.program, []byte("#!/bin/sh\nexit 2\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	g.known = make(map[string]membership)
	g.pause = time.Time{}
	if got, err := g.Of(a); err != nil || !slices.Contains(got, other.GID) {
		t.Errorf("groups %v, error %v of an account that NSS does not know, want one of them to be %d", got, err, other.GID)
	}
}

// getent stands for NSS: it answers what is in a file, and counts.
func getent(t *testing.T, g *Groups) (answer func(string), runs func() int) {
	t.Helper()
	dir := t.TempDir()
	put := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	put("getent", "#!/bin/sh\nif [ $1 = passwd ]; then\n echo x >>"+dir+"/runs\n case $2 in alice) echo $2:x:2001:2001:::;; bob) echo $2:x:2002:100:::;; *) exit 2;; esac\nelif [ $1 = group ]; then\n . "+dir+"/group\nelse\n . "+dir+"/answer\nfi\n")
	g.program = filepath.Join(dir, "getent")
	return func(text string) { put("answer", text) }, func() int {
		text, err := os.ReadFile(filepath.Join(dir, "runs"))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		return strings.Count(string(text), "x")
	}
}

func TestGroupsAreRemembered(t *testing.T) {
	var told []error
	g := NewGroups(func(err error) { told = append(told, err) })
	answer, runs := getent(t, g)
	wants := func(a homes.Account, groups ...int) {
		t.Helper()
		got, err := g.Of(a)
		if err != nil || !slices.Equal(got, groups) {
			t.Errorf("groups %v, error %v, want %v", got, err, groups)
		}
	}
	age := func() {
		m := g.known[alice.Name]
		m.until = time.Time{}
		g.known[alice.Name] = m
		g.pause = time.Time{}
	}
	answer(`echo "$2    7 4294967294"`)
	wants(alice, 7, 4294967294)
	answer(`echo "$2    8"`)
	wants(alice, 7, 4294967294) // known
	moved := alice
	moved.UID++
	wants(moved) // the name is another account's here
	wants(alice, 8)
	age()
	answer("exit 1")
	wants(alice, 8) // the last answer
	age()
	answer("echo somebody 9")
	wants(alice, 8)
	if len(told) != 1 {
		t.Errorf("told %v", told)
	}
	age()
	answer(`echo "$2"`)
	wants(alice)
	wants(homes.Account{Name: "nobodyknows", UID: 1, GID: 7}, 7) // by /etc/group
	if got := runs(); got != 7 {
		t.Errorf("%d runs, want 7", got)
	}
}

// A getent that fails is not asked for each user anew.
func TestGroupsPauseAfterAFailure(t *testing.T) {
	told := 0
	g := NewGroups(func(error) { told++ })
	answer, runs := getent(t, g)
	answer("exit 1")
	for _, a := range []homes.Account{alice, bob, alice, bob} {
		if got, err := g.Of(a); err != nil || len(got) > 1 { // some ways to read /etc/group name the user's own too
			t.Errorf("groups %v, error %v", got, err)
		}
	}
	if runs() != 1 || told != 1 {
		t.Errorf("%d runs, told %d times", runs(), told)
	}
}

// Who is in a group is what NSS has said, now or before; it is never concluded from silence.
func TestGroupsIn(t *testing.T) {
	var told []error
	g := NewGroups(func(err error) { told = append(told, err) })
	answer, _ := getent(t, g)
	dir := filepath.Dir(g.program)
	group := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "group"), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	wants := func(when string, a homes.Account, name string, is, known bool) {
		t.Helper()
		if gotIs, gotKnown := g.In(a, name); gotIs != is || gotKnown != known {
			t.Errorf("%s: in %v, known %v, want %v, %v", when, gotIs, gotKnown, is, known)
		}
	}
	age := g.Expire
	nobody := homes.Account{Name: "nobodyknows", UID: 1}

	group("exit 2")
	answer(`echo "$2 7"`)
	wants("no such group", alice, "pilots", false, false)
	if _, err := g.GID("pilots"); err == nil || err.Error() != "this host knows no group pilots" {
		t.Errorf("error %v", err)
	}
	age()
	group("echo $2:x:7:")
	answer("exit 1")
	wants("the account's groups cannot be had, /etc/group has it not", alice, "pilots", false, false)
	age()
	answer(`echo "$2 7"`)
	wants("a supplementary group", alice, "pilots", true, true)
	wants("an account that NSS does not know", nobody, "pilots", false, false)
	group("echo $2:x:100:")
	wants("a primary group", bob, "users", true, true)
	wants("another's", alice, "users", false, true)
	group("echo users:x:100:")
	wants("a number, by which getent finds groups too", bob, "100", false, false)
	age()
	group("exit 2")
	answer("exit 1")
	wants("a directory that is away", alice, "pilots", true, true)
	wants("a directory that is away", alice, "users", false, true)
	wants("a group that it never knew", alice, "others", false, false)
	age()
	wants("and still is", alice, "pilots", true, true)
	age()
	group("exit 1")
	wants("one that hangs", alice, "pilots", true, true)
	group("echo $2:x:9:")
	wants("nobody is asked for a while then", alice, "nines", false, false)
	if len(told) != 4 { // of alice's groups, twice: there was an answer in between; and of each of two groups
		t.Errorf("told %v", told)
	}
	age()
	group("echo $2:x:7:")
	answer(`echo "$2"`)
	wants("he left it", alice, "pilots", false, true)
}
