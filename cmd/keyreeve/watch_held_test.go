package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/keyreeve/keyreeve/internal/config"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/testenv"
	"github.com/keyreeve/keyreeve/internal/watch"
)

// A user's link leads into a directory that he exchanges for one that he holds, when it was found and before it is watched. His look
// begins all the same, and his link goes.
func TestWatchOfWhatIsHeld(t *testing.T) {
	testenv.Need(t, "root", "fuse")
	s := newSite(t)
	_, keys := vectors(t)
	user := s.newMember(1, keys["A"])
	user.does(t, "rmdir .ssh; mkdir -p a/ssh x; ln -s a/ssh .ssh; cat > a/ssh/authorized_keys", keys["B"]+"\n")
	account := homes.Account{Name: user.name, UID: user.uid, GID: user.gid, Home: user.home}
	door, err := homes.Open(homes.Options{})
	if err != nil {
		t.Fatal(err)
	}
	watcher, err := watch.New()
	if err != nil {
		t.Fatal(err)
	}
	const file = ".ssh/authorized_keys"
	dirs, err := door.Dirs(account, file)
	if err != nil {
		t.Fatal(err)
	}
	x := filepath.Join(user.home, "x")
	stall := testenv.HoldDir(t, user.as(), x)
	defer stall.Let()
	queued := exec.CommandContext(t.Context(), "mkdir", filepath.Join(x, "queued"))
	if err := queued.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a change waits for the lock", func() bool { return threads(queued.Process.Pid)["D"] == 1 })
	user.does(t, "mv a b; mv x a", "")

	watching := &service{door: door, watcher: watcher}
	watching.modes.Store(&modes{config: config.Default()})
	ended := make(chan error, 1)
	go func() { ended <- watching.setWatches(account, dirs) }()
	var wrong error
	eventually(t, "the setting of the watches comes to an end", func() bool {
		select {
		case wrong = <-ended:
			return true
		default:
			return false
		}
	})
	if !errors.Is(wrong, homes.ErrStuck) {
		t.Errorf("the watches: %v, want ErrStuck", wrong)
	}
	user.does(t, "mv a x; mv b a", "") // as if nothing had been
	if _, err := door.Read(account, file); !errors.Is(err, homes.ErrStuck) {
		t.Errorf("the look: %v, want ErrStuck", err)
	}
	if err := door.Renew(account, file, []byte(keys["A"]+"\n"), false); err != nil {
		t.Error(err)
	}
	if text := user.read(t, "authorized_keys"); text != keys["A"]+"\n" {
		t.Errorf("the file has %q", text)
	}
	if link, err := os.Readlink(filepath.Join(user.home, ".ssh")); err == nil {
		t.Errorf(".ssh still leads to %s", link)
	}
	stall.Let()
	if err := queued.Wait(); err != nil {
		t.Error(err)
	}
	eventually(t, "no call hangs any more", func() bool { return door.Stuck() == 0 })
	if err := errors.Join(watcher.Close(), door.Close()); err != nil {
		t.Error(err)
	}
}
