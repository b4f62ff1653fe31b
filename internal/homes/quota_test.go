package homes

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// quota is a home with one of 600 KiB, by the groups of btrfs: the kernel says EDQUOT on a disk that has room.
func quota(t *testing.T) *home {
	t.Helper()
	h := onDisk(t, "btrfs", 256<<20)
	disk := filepath.Dir(h.Home)
	h.Home = disk + "/limited"
	program, err := testenv.Program("btrfs")
	h.must(err)
	for _, arguments := range [][]string{
		{"quota", "enable", disk}, {"subvolume", "create", h.Home}, {"qgroup", "limit", "600K", h.Home},
	} {
		if out, err := exec.CommandContext(t.Context(), program, arguments...).CombinedOutput(); err != nil {
			t.Fatalf("btrfs %s: %v\n%s", arguments, err, out)
		}
	}
	h.must(errors.Join(os.Chown(h.Home, testUID, testUID), os.Chmod(h.Home, 0o755)))
	return h
}

// A user whose quota is full keeps no unregistered key by that, and his registered ones come back when he has room.
func TestFullQuota(t *testing.T) {
	h := quota(t)
	h.mkdir(h.path(".ssh"), 0o700, testUID)
	h.write(h.keys(), bad, 0o600, testUID)
	h.link("authorized_keys", h.keys()+"2", testUID)
	for i, err := 0, error(nil); !errors.Is(err, unix.EDQUOT); i++ {
		h.must(err)
		err = h.user(func() error { return os.WriteFile(h.path("fill"+strconv.Itoa(i)), make([]byte, 4096), 0o600) })
	}
	var before, after unix.Stat_t
	h.must(unix.Stat(h.keys(), &before))
	h.must(h.door.Replace(h.Account, keyPath, h.read().Version, []byte(good)))
	h.must(unix.Stat(h.keys(), &after))
	if before.Ino != after.Ino || h.content(h.keys()) != good {
		t.Errorf("overwritten: %v; the file holds %q", before.Ino == after.Ino, h.content(h.keys()))
	}
	link, err := h.door.Read(h.Account, keyPath+"2")
	h.must(err)
	if err := h.door.Replace(h.Account, keyPath+"2", link.Version, []byte(good)); !errors.Is(err, unix.EDQUOT) || exists(h.keys()+"2") {
		t.Errorf("Replace of a link: %v; it is there: %v", err, exists(h.keys()+"2"))
	}
	h.empty()
	again, err := h.door.Read(h.Account, keyPath+"2")
	h.must(err)
	h.must(h.door.Replace(h.Account, keyPath+"2", again.Version, []byte(good)))
	if h.content(h.keys()+"2") != good {
		t.Errorf("with room again: %q", h.content(h.keys()+"2"))
	}
}
