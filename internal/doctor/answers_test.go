package doctor_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/internal/answer"
	"github.com/keyreeve/keyreeve/internal/testenv"
)

// asks is a place whose sshd asks keyreeve-keys, with all that this needs below a directory of root's.
type asks struct {
	*place
	below, program, dir string
	account             testenv.Account
}

func newAsks(t *testing.T, account testenv.Account) asks {
	t.Helper()
	a := asks{place: newPlace(t), account: account}
	var err error
	if a.below, err = os.MkdirTemp(filepath.Dir(account.Home), "asks-"); err != nil { //nolint:usetesting // /tmp is not root's alone to write
		t.Fatal(err)
	}
	if err := os.Chmod(a.below, 0o755); err != nil {
		t.Fatal(err)
	}
	a.program, a.dir = filepath.Join(a.below, "keyreeve-keys"), filepath.Join(a.below, "answers")
	a.yaml = "answer: {dir: " + a.dir + "}\n"
	a.put("etc/passwd", fmt.Sprintf("root:x:0:0::/root:/bin/sh\n%s:x:%d:%d::/:/bin/sh\n", a.account.Name, a.account.UID, a.account.GID))
	a.put("glass/root", newKey(t)+"\n")
	if err := os.WriteFile(a.program, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(a.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	a.answers(time.Time{})
	return a
}

func newKey(t *testing.T) string {
	t.Helper()
	_, line := testenv.NewKey(t)
	return line
}

// answers writes the file, which counts until a moment.
func (a asks) answers(end time.Time) {
	a.Helper()
	data, err := answer.Make(slices.Values([]answer.User{{Name: "ada", UID: 2001}}), end, answer.Rules{Keys: []answer.Rule{{Type: "ed25519"}}})
	if err != nil {
		a.Fatal(err)
	}
	path := filepath.Join(a.dir, answer.Name)
	if err := os.WriteFile(path, data, 0o640); err != nil {
		a.Fatal(err)
	}
	if err := os.Chown(path, 0, a.account.GID); err != nil {
		a.Fatal(err)
	}
}

// command is what sshd is told to run.
func (a asks) command(words string) string {
	return fmt.Sprintf("AuthorizedKeysCommand %s --file=%s/keys.cdb %s\nAuthorizedKeysCommandUser %s\n", a.program, a.dir, words, a.account.Name)
}

const (
	words = "-- %u %U %h %f"
	glass = "Match User root\n\tAuthorizedKeysFile @DIR/glass/%u\n\tAuthorizedKeysCommand none\n"
)

// What sshd asks, by words, program and file: nothing is found where it is in order, and each fault is named.
func TestChecksOfAnswers(t *testing.T) {
	account := testenv.NewAccount(t)
	file := func(a asks) string { return filepath.Join(a.dir, answer.Name) }
	for name, c := range map[string]struct {
		words string
		spoil func(a asks) error
		want  []string
	}{
		"in order":                           {words, nil, nil},
		"fewer words":                        {"-- %u %U", nil, nil},
		"no uid":                             {"-- %u", nil, []string{"defeats keys-command-words"}},
		"no name":                            {"--", nil, []string{"locks-out keys-command-words"}},
		"another order":                      {"-- %u %f %U", nil, []string{"locks-out keys-command-words"}},
		"another fourth":                     {"-- %u %U %f %h", nil, []string{"locks-out keys-command-words"}},
		"no dashes":                          {"%u %U %h %f", nil, []string{"note keys-command-words"}},
		"no program":                         {words, func(a asks) error { return os.Remove(a.program) }, []string{"locks-out keys-program"}},
		"a program that others write":        {words, func(a asks) error { return os.Chmod(a.program, 0o757) }, []string{"locks-out keys-program"}},
		"one in a folder of another's":       {words, func(a asks) error { return os.Chown(a.below, a.account.UID, 0) }, []string{"locks-out keys-program"}},
		"no program but a text":              {words, func(a asks) error { return os.Chmod(a.program, 0o644) }, []string{"locks-out keys-program"}},
		"no file":                            {words, func(a asks) error { return os.Remove(file(a)) }, []string{"locks-out answer-missing"}},
		"another's file":                     {words, func(a asks) error { return os.Chown(file(a), a.account.UID, a.account.GID) }, []string{"locks-out answer-owner"}},
		"a file that the group writes":       {words, func(a asks) error { return os.Chmod(file(a), 0o660) }, []string{"locks-out answer-owner"}},
		"another group":                      {words, func(a asks) error { return os.Chown(file(a), 0, 0) }, []string{"locks-out answer-reader"}},
		"a file that the group may not read": {words, func(a asks) error { return os.Chmod(file(a), 0o600) }, []string{"locks-out answer-reader"}},
		"no such user":                       {words, func(a asks) error { a.put("etc/passwd", "root:x:0:0::/root:/bin/sh\n"); return nil }, []string{"locks-out answer-reader"}},
		"stale":                              {words, func(a asks) error { a.answers(time.Now().Add(-time.Second)); return nil }, []string{"locks-out answer-stale"}},
		"not yet stale":                      {words, func(a asks) error { a.answers(time.Now().Add(time.Hour)); return nil }, nil},
		"a link": {words, func(a asks) error {
			return errors.Join(os.Rename(file(a), file(a)+"x"), os.Symlink(file(a)+"x", file(a)))
		}, []string{"locks-out answer-damaged"}},
		"a FIFO": {words, func(a asks) error { return errors.Join(os.Remove(file(a)), syscall.Mkfifo(file(a), 0o644)) }, []string{"locks-out answer-damaged"}},
		"stale, with nobody of the sample": {words, func(a asks) error {
			a.accounts = append(a.accounts[:1:1], a.accounts[2])
			a.answers(time.Now().Add(-time.Second))
			return nil
		}, []string{"locks-out answer-stale"}},
		"a directory that is shut":       {words, func(a asks) error { return os.Chmod(a.dir, 0o700) }, []string{"locks-out answer-reader"}},
		"one that is its user's group's": {words, func(a asks) error { return errors.Join(os.Chmod(a.dir, 0o750), os.Chown(a.dir, 0, a.account.GID)) }, nil},
		"of another group":               {words, func(a asks) error { return errors.Join(os.Chmod(a.dir, 0o750), os.Chown(a.dir, 0, 4242)) }, []string{"locks-out answer-reader"}},
		"of a group that he is in": {words, func(a asks) error {
			a.put("etc/group", "others:x:4242:eve,"+a.account.Name+"\n")
			return errors.Join(os.Chmod(a.dir, 0o750), os.Chown(a.dir, 0, 4242))
		}, nil},
		"below a directory that is shut": {words, func(a asks) error { return os.Chmod(a.below, 0o700) }, []string{"locks-out answer-reader", "locks-out keys-program"}},
		"behind a link, below one": {words, func(a asks) error {
			shut := filepath.Join(a.below, "state")
			return errors.Join(os.Mkdir(shut, 0o700), os.Rename(a.dir, filepath.Join(shut, "answers")), os.Symlink(filepath.Join(shut, "answers"), a.dir))
		}, []string{"locks-out answer-reader"}},
		"damaged": {words, func(a asks) error { return os.Truncate(file(a), 100) }, []string{"locks-out answer-damaged"}},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAsks(t, account)
			a.sshd(narrowed + a.command(c.words) + "AuthorizedKeysFile none\n" + glass)
			if c.spoil != nil {
				if err := c.spoil(a); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(c.want, codes(a.found())); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// codes leaves the places out.
func codes(found []string) []string {
	var list []string
	for _, one := range found {
		fields := strings.Fields(one)
		list = append(list, fields[0]+" "+fields[1])
	}
	return list
}

// The file that is kept, and who asks for it.
func TestAnswersAndWhoAsks(t *testing.T) {
	a := newAsks(t, testenv.NewAccount(t))
	wants := func(when string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, codes(a.found())); diff != "" {
			t.Errorf("%s: %s", when, diff)
		}
	}
	a.sshd(narrowed)
	wants("nobody asks", "note answer-unused")
	a.sshd(narrowed + a.command(words))
	wants("both ways")
	a.yaml = ""
	wants("nobody writes, and there are homes", "note answer-not-kept")
	a.sshd(narrowed + a.command(words) + "AuthorizedKeysFile none\n" + glass)
	wants("nobody writes", "locks-out answer-not-kept")
	a.yaml = "answer: {dir: /var/lib/elsewhere}\n"
	wants("elsewhere", "locks-out answer-elsewhere")
	a.sshd(narrowed + "AuthorizedKeysFile none\n" + glass)
	wants("nobody asks, and there are no homes", "locks-out no-keys", "note answer-unused")
}

// Another file, program or user in a Match block is looked at as if it were in force.
func TestAnswersInABlock(t *testing.T) {
	account := testenv.NewAccount(t)
	for block, want := range map[string][]string{
		"AuthorizedKeysCommand PROGRAM --file=/gone " + words:                         {"locks-out answer-elsewhere"},
		"AuthorizedKeysCommand /gone/keyreeve-keys --file=FILE " + words:              {"locks-out keys-program"},
		"AuthorizedKeysCommandUser nobody":                                            {"locks-out answer-reader"},
		"AuthorizedKeysFile .ssh/authorized_keys\n\tAuthorizedKeysCommandUser nobody": {"note answer-reader", "note key-file"},
		"AuthorizedKeysCommand PROGRAM --file=FILE -- %u %U":                          nil,
	} {
		a := newAsks(t, account)
		a.put("etc/passwd", "nobody:x:65534:65534::/:/bin/sh\n"+fmt.Sprintf("%s:x:%d:%d::/:/bin/sh\n", account.Name, account.UID, account.GID))
		block = strings.NewReplacer("PROGRAM", a.program, "FILE", a.dir+"/keys.cdb").Replace(block)
		a.sshd(narrowed + a.command(words) + "AuthorizedKeysFile none\n" + glass + "Match Address 198.51.100.0/24\n\t" + block + "\n")
		if diff := cmp.Diff(want, codes(a.found())); diff != "" {
			t.Errorf("%s: %s", block, diff)
		}
	}
}

// Where sshd takes keys from keyreeve alone, what a home could say is no danger, and a block that brings homes back is told.
func TestStrong(t *testing.T) {
	account := testenv.NewAccount(t)
	for _, c := range []struct {
		sshd string
		want []string
	}{
		{"StrictModes no\n", []string{"note strict-modes"}},
		{"PubkeyAcceptedAlgorithms +ssh-rsa\nRequiredRSASize 4096\n", []string{"note algorithms"}},
		{"TrustedUserCAKeys /etc/ssh/ca\n", []string{"defeats trusted-ca"}},
		{"", nil},
	} {
		a := newAsks(t, account)
		a.sshd(c.sshd + narrowed + a.command(words) + "AuthorizedKeysFile none\n" + glass)
		if diff := cmp.Diff(c.want, codes(a.found())); diff != "" {
			t.Errorf("%s: %s", c.sshd, diff)
		}
	}
	for block, want := range map[string][]string{
		"Match Address 198.51.100.0/24\n\tAuthorizedKeysFile .ssh/authorized_keys\n":                               {"note key-file"},
		"Match Address 198.51.100.0/24\n\tAuthorizedKeysCommand none\n":                                            {"locks-out no-keys"},
		"Match Address 198.51.100.0/24\n\tAuthorizedKeysFile .ssh/authorized_keys\n\tAuthorizedKeysCommand none\n": {"note key-file"},
	} {
		a := newAsks(t, account)
		a.sshd(narrowed + a.command(words) + "AuthorizedKeysFile none\n" + glass + block)
		if diff := cmp.Diff(want, codes(a.found())); diff != "" {
			t.Errorf("%s: %s", block, diff)
		}
	}
}

// Root and the administrators get in without keyreeve's file.
func TestBreakGlass(t *testing.T) {
	a := newAsks(t, testenv.NewAccount(t))
	admin := a.accounts[2]
	admin.Name, admin.Glass = "eve", true
	a.accounts = append(a.accounts, admin)
	wants := func(when, blocks string, want ...string) {
		t.Helper()
		a.sshd(narrowed + a.command(words) + "AuthorizedKeysFile none\n" + blocks)
		if diff := cmp.Diff(want, a.found()); diff != "" {
			t.Errorf("%s: %s", when, diff)
		}
	}
	both := strings.Replace(glass, "root", "root,eve", 1)
	a.put("glass/eve", newKey(t)+"\n")
	wants("both", both)
	wants("an administrator like the others", glass, "locks-out break-glass drop/10.conf:5")
	wants("nobody", "", "locks-out break-glass drop/10.conf:5", "locks-out break-glass drop/10.conf:5")
	wants("root does not get in anyway", strings.Replace(glass, "root", "eve", 1)+"Match User root\n\tPermitRootLogin no\n")
	a.put("glass/eve", "\n")
	wants("an empty file", both, "locks-out break-glass drop/10.conf:7")
	if err := os.Remove(a.path("glass/root")); err != nil {
		t.Fatal(err)
	}
	wants("an empty one and none", both, "locks-out break-glass drop/10.conf:7", "locks-out break-glass drop/10.conf:7")
	// Where homes count, each has his own.
	a.sshd(narrowed + a.command(words))
	if found := a.found(); len(found) > 0 {
		t.Error(found)
	}
}
