package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/config"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/watch"
)

// The link .ssh is exchanged for one to elsewhere after the directories were found and before they are watched, which no event
// tells: the directories are looked for once more, and those that lie there now are watched.
func TestSSHIsExchangedBeforeItsWatch(t *testing.T) {
	s := newSite(t)
	user := s.newMember(1)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	link := user.file("")
	turn := func(target string) {
		must(errors.Join(os.RemoveAll(link), os.Symlink(target, link), os.Lchown(link, user.uid, user.gid)))
	}
	for _, name := range []string{"one", "two"} {
		dir := filepath.Join(user.home, name)
		must(errors.Join(os.Mkdir(dir, 0o700), os.Chown(dir, user.uid, user.gid)))
	}
	turn("one")
	asked := 0 // the groups are, before each thing that is done with the user's rights
	door, err := homes.Open(homes.Options{Groups: func(homes.Account) ([]int, error) {
		if asked++; asked == 2 {
			turn("two")
		}
		return nil, nil
	}})
	must(err)
	defer func() { must(door.Close()) }()
	watcher, err := watch.New()
	must(err)
	defer func() { must(watcher.Close()) }()
	service := service{door: door, watcher: watcher}
	service.sshd.Store(newSSHD(config.SSHD{}))
	service.modes.Store(&modes{config: config.Default()})

	must(service.watch(homes.Account{Name: user.name, UID: user.uid, GID: user.gid, Home: user.home}))
	if asked < 3 {
		t.Fatalf("the user's rights were taken %d times", asked)
	}
	must(os.WriteFile(filepath.Join(user.home, "two", "authorized_keys"), nil, 0o600))
	select {
	case <-watcher.Hints():
	case <-time.After(patience):
		t.Error("the directory that .ssh leads to now is not watched")
	}
}
