package homes

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// Who holds the lock of his home too cannot be helped; it costs two threads, and no more.
func TestRenewThatIsStuck(t *testing.T) {
	t.Parallel()
	h := newSSH(t, bad)
	file := testenv.HoldFile(t, h.attacker(), h.keys(), bad)
	h.stuck()
	whole := testenv.HoldDir(t, h.attacker(), h.Home)
	for range 3 {
		if err := h.door.Renew(h.Account, keyPath, []byte(good), true); !errors.Is(err, ErrStuck) {
			t.Fatalf("Renew: %v", err)
		}
	}
	if h.door.Stuck() != 2 {
		t.Errorf("%d threads are stuck", h.door.Stuck())
	}
	whole.Let()
	file.Let()
	h.back()
	if exists(h.path(".ssh")) {
		t.Error("the Renew that was left behind made a directory")
	}
	h.enforce(h.expect(BadDir)) // it moved .ssh and stopped
}

// Renew without any hang, also where there is no .ssh.
func TestRenew(t *testing.T) {
	for _, h := range []*home{newSSH(t, bad), newHome(t)} {
		h.must(h.door.Renew(h.Account, keyPath, []byte(good), true))
		h.holds(good)
	}
}

// A listing that comes to its end, as one that waited for a slow file server, costs nobody his .ssh; but once only, if anyway is set then.
func TestRenewOfWhatCameBack(t *testing.T) {
	t.Parallel()
	h := newSSH(t, bad)
	holder := testenv.HoldFile(t, h.attacker(), h.keys(), bad)
	h.stuck()
	holder.Let()
	h.back()
	var before, after unix.Stat_t
	h.must(unix.Lstat(h.path(".ssh"), &before))
	if err := h.door.Renew(h.Account, keyPath, []byte(good), false); !errors.Is(err, ErrChanged) {
		t.Errorf("Renew: %v, want ErrChanged", err)
	}
	h.must(unix.Lstat(h.path(".ssh"), &after))
	if before.Ino != after.Ino {
		t.Error(".ssh went aside")
	}
	h.must(h.door.Replace(h.Account, keyPath, h.read().Version, []byte(good)))
	h.holds(good)
	h.must(h.door.Renew(h.Account, keyPath, []byte(good), true))
	h.must(unix.Lstat(h.path(".ssh"), &after))
	if before.Ino == after.Ino {
		t.Error(".ssh did not go aside")
	}
}

// The other key files of a directory that gave way count as lost until they are replaced, and none that lies elsewhere.
func TestRenewRemembersTheOtherFiles(t *testing.T) {
	h := newSSH(t, bad)
	h.must(h.door.Renew(h.Account, keyPath, []byte(good), true, keyPath, keyPath+"2", "other/"+name))
	h.settled()
	second, err := h.door.Read(h.Account, keyPath+"2")
	if err != nil || second.State != Unreadable {
		t.Fatalf("the second file: %v %v", second.State, err)
	}
	h.must(h.door.Replace(h.Account, keyPath+"2", second.Version, []byte(good)))
	h.noMark()
	if exists(h.path("other")) {
		t.Error("a directory was made")
	}
}
