package homes

import (
	"errors"
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// inVar moves a home to a way of root's alone, which /tmp is not.
func (h *home) inVar() {
	h.Helper()
	h.newBase("/var/lib")
	h.Home = h.base + "/lab/alice"
	h.mkdir(h.base+"/lab", 0o755, 0)
	h.mkdir(h.Home, 0o755, testUID)
	h.mkdir(h.path(".ssh"), 0o700, testUID)
	h.write(h.keys(), bad, 0o600, testUID)
}

// groups gives the door an answer about the groups of the account.
func (h *home) groups(list []int, err error) {
	h.inside().groups = func(a Account) ([]int, error) {
		if uid, err := unix.SetfsuidRetUid(-1); uid != 0 || err != nil {
			h.Errorf("asked for groups as uid %d, %v", uid, err)
		}
		if a != h.Account {
			h.Errorf("asked for the groups of %+v", a)
		}
		return list, err
	}
}

// Only members of a group may search the parent of the home, and the user is one
// by the group file: sshd, which calls initgroups(3), gets there.
func TestHomeBehindAGroup(t *testing.T) {
	testenv.Need(t, "root")
	h := newHome(t)
	h.inVar()
	h.must(os.Chown(h.base+"/lab", 0, otherUID))
	h.must(os.Chmod(h.base+"/lab", 0o750))
	if _, err := h.door.Read(h.Account, keyPath); !errors.Is(err, ErrRefused) || !errors.Is(err, unix.EACCES) {
		t.Errorf("without the group: %v", err)
	}
	h.setUp("group", otherUID)
	h.enforce(h.expect(Regular))
	h.dirs(Dir{h.Home, []string{".ssh"}}, Dir{h.path(".ssh"), nil})

	for title, spoil := range map[string]func(){
		"root alone may search":     func() { h.must(os.Chmod(h.base+"/lab", 0o700)) },
		"over a stranger's link":    func() { h.link("lab/alice", h.base+"/l", otherUID); h.Home = h.base + "/l" },
		"to the home of a stranger": func() { h.must(os.Chown(h.Home, otherUID, otherUID)) },
	} {
		h.Home = h.base + "/lab/alice"
		h.must(os.Chown(h.Home, testUID, testUID))
		h.must(os.Chmod(h.base+"/lab", 0o750))
		spoil()
		if _, err := h.door.Read(h.Account, keyPath); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", title, err)
		}
	}
}

// The watch of a home behind a group is set with the same rights.
func TestAsHasTheUsersGroups(t *testing.T) {
	h := newSSH(t, bad)
	h.groups([]int{testUID, otherUID, otherUID, 7}, nil)
	h.must(h.inside().As(h.Account, func() error {
		if now, err := unix.Getgroups(); err != nil || !slices.Equal(now, []int{7, testUID, otherUID}) {
			t.Errorf("groups: %v %v", now, err)
		}
		return nil
	}))
}

// Without the list of groups nothing is done: what is out of reach by mistake
// would look unreadable, and be replaced.
func TestGroupsThatAreNotKnown(t *testing.T) {
	h := newSSH(t, bad)
	before := h.read().Version
	many := make([]int, maxGroups+1)
	unknown := errors.New("no answer")
	for title, test := range map[string]struct {
		list []int
		err  error
		want error
	}{
		"an error":     {nil, unknown, unknown},
		"too many":     {many, nil, ErrRefused},
		"no group id":  {[]int{-1}, nil, ErrRefused},
		"out of range": {[]int{1<<32 - 1}, nil, ErrRefused},
	} {
		t.Run(title, func(t *testing.T) {
			h.groups(test.list, test.err)
			_, err := h.door.Read(h.Account, keyPath)
			_, dirs := h.door.Dirs(h.Account, keyPath)
			for call, err := range map[string]error{
				"Read": err, "Dirs": dirs, "Replace": h.door.Replace(h.Account, keyPath, before, nil),
				"As": h.inside().As(h.Account, func() error { t.Error("it ran"); return nil }),
			} {
				if !errors.Is(err, test.want) {
					t.Errorf("%s: %v", call, err)
				}
			}
		})
	}
	for i := range many {
		many[i] = i
	}
	h.groups(many[:maxGroups], nil)
	h.enforce(h.expect(Regular))
}

// The user's groups open what is the group's, never what is root's.
func TestGroupsGiveNoRightOfRoots(t *testing.T) {
	testenv.Need(t, "root")
	h := newHome(t)
	h.inVar()
	h.setUp("group", otherUID)
	h.must(os.Chown(h.keys(), 0, otherUID))
	if file := h.expect(Unreadable); len(file.Data) != 0 {
		t.Errorf("read with root's rights: %q", file.Data)
	}
	h.must(os.Chmod(h.keys(), 0o640))
	if file := h.expect(Regular); string(file.Data) != bad {
		t.Errorf("read by the group, as sshd would: %q", file.Data)
	}
	h.must(os.Chown(h.Home, 0, 0))
	h.must(os.Chmod(h.Home, 0o700))
	if _, err := h.door.Read(h.Account, keyPath); !errors.Is(err, ErrRefused) || !errors.Is(err, unix.EACCES) {
		t.Errorf("a home that is root's alone: %v", err)
	}
}
