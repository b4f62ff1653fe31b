package host

import (
	"errors"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/testenv"
)

func TestLookUp(t *testing.T) {
	root, err := LookUp(t.Context(), "root")
	if err != nil || root.UID != 0 || root.Home != "/root" || root.Shell == "" {
		t.Errorf("%+v %v", root, err)
	}
	if _, err := LookUp(t.Context(), "kr-nobody-has-this"); !errors.Is(err, ErrNoAccount) {
		t.Errorf("an account that is not there: %v", err)
	}
	if name, err := GroupName(t.Context(), root.GID); err != nil || name != "root" {
		t.Errorf("%q %v", name, err)
	}
	if name, err := GroupName(t.Context(), 4200000000); err != nil || name != "" {
		t.Errorf("a group that is not there: %q %v", name, err)
	}
}

// A lock, an end, and whose a group is, are what the tools of the system have made them.
func TestAccountOfTheSystem(t *testing.T) {
	testenv.Need(t, "root")
	a := testenv.NewAccount(t)
	account := homes.Account(a)
	now := time.Now()
	shut := func() Shut {
		t.Helper()
		got, err := LookUpShadow(t.Context(), a.Name, now)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	tool := func(words ...string) {
		t.Helper()
		if _, err := run(t.Context(), find(words[0]), words[1:]...); err != nil {
			t.Fatal(err)
		}
	}
	if got := shut(); got != (Shut{}) {
		t.Errorf("a new account: %+v", got)
	}
	tool("usermod", "-L", "-e", now.UTC().AddDate(0, 0, -2).Format(time.DateOnly), a.Name)
	if got := shut(); got != (Shut{Locked: true, Expired: true}) {
		t.Errorf("locked, and at its end: %+v", got)
	}
	tool("usermod", "-e", now.UTC().AddDate(0, 0, 2).Format(time.DateOnly), a.Name)
	if got := shut(); got.Expired {
		t.Errorf("ends later: %+v", got)
	}
	own := func(gid int, want bool) {
		t.Helper()
		if got, err := OwnGroup(t.Context(), gid, account); err != nil || got != want {
			t.Errorf("group %d: %v %v", gid, got, err)
		}
	}
	own(a.GID, true)
	own(0, false)
	own(4200000000, false)
	tool("usermod", "-a", "-G", a.Name, "nobody")
	defer tool("gpasswd", "-d", "nobody", a.Name)
	own(a.GID, false)
}

// A command of sshd's has its user's identity and four variables, and says nothing where it fails.
func TestRunAs(t *testing.T) {
	testenv.Need(t, "root")
	t.Setenv("KEYREEVE_SECRET", "x")
	nobody, err := LookUp(t.Context(), "nobody")
	if err != nil {
		t.Fatal(err)
	}
	out, err := RunAs(t.Context(), nobody.Account, []int{4, 7}, []string{"/bin/sh", "-c", "id -u; id -G; env | sort; pwd; cat"})
	want := "65534\n" + strconv.Itoa(nobody.GID) + " 4 7\nHOME=" + nobody.Home + "\nLOGNAME=nobody\nPATH=/usr/bin:/bin:/usr/sbin:/sbin\nPWD=/\nUSER=nobody\n/\n"
	if diff := cmp.Diff(want, out); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if out, err := RunAs(t.Context(), nobody.Account, nil, []string{"/bin/sh", "-c", "echo key; echo why >&2; exit 3"}); err == nil || out != "" || err.Error() != "/bin/sh: exit status 3: why" {
		t.Errorf("%q %v", out, err)
	}
	if _, err := RunAs(t.Context(), nobody.Account, nil, []string{"true"}); err == nil {
		t.Error("a command without its path")
	}
}

// The words are those of sshd (percent_expand in misc.c).
func TestCommandWords(t *testing.T) {
	a := homes.Account{Name: "-n b", UID: 7, Home: "/h"}
	key := Offered{"SHA256:x", "ssh-rsa", "AAAA"}
	for _, c := range []struct{ words, want []string }{
		{[]string{"/c"}, []string{"/c", "-n b"}},
		{[]string{"/c", "--", "%u", "%U%%%h", "%f,%t,%k", "100%"}, []string{"/c", "--", "-n b", "7%/h", "SHA256:x,ssh-rsa,AAAA", "100%"}},
		{[]string{"/c", "%C"}, nil}, // of no connection
		{[]string{"/c", "%x"}, nil},
	} {
		got, err := CommandWords(c.words, a, key)
		if diff := cmp.Diff(c.want, got); (err != nil) != (c.want == nil) || diff != "" {
			t.Errorf("%q: %v %s", c.words, err, diff)
		}
	}
	for word, want := range map[string]bool{"%f": true, "x%k": true, "%t": true, "%u": false, "%%f": false, "%%%f": true, "%": false} {
		if got := TellsKey([]string{"/c", word}); got != want {
			t.Errorf("%q tells the key: %v", word, got)
		}
	}
}

func TestInKRL(t *testing.T) {
	testenv.Need(t, "sshd")
	_, listed := testenv.NewKey(t)
	_, other := testenv.NewKey(t)
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/key", []byte(listed+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := run(t.Context(), find("ssh-keygen"), "-k", "-f", dir+"/krl", dir+"/key"); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]bool{listed: true, other: false} {
		if got, err := InKRL(t.Context(), dir+"/krl", key); err != nil || got != want {
			t.Errorf("%v %v", got, err)
		}
	}
	if _, err := InKRL(t.Context(), dir+"/key", listed); err == nil {
		t.Error("a file that is no list")
	}
}
