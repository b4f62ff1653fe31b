package homes

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// procfs stands for a FUSE mount of the user's: both are foreign, and both come
// after the table of mounts was read.
func TestForeignMount(t *testing.T) {
	testenv.Need(t, "root", "mount")
	mount := func(h *home, path string) {
		h.must(unix.Mount("proc", path, "proc", 0, ""))
		h.Cleanup(func() { h.must(unix.Unmount(path, unix.MNT_DETACH)) })
	}
	t.Run("on .ssh", func(t *testing.T) {
		h := newSSH(t, bad)
		mount(h, h.path(".ssh"))
		file := h.expect(BadDir)
		if err := h.door.Replace(h.Account, keyPath, file.Version, []byte(good)); !errors.Is(err, unix.EBUSY) {
			t.Errorf("Replace: %v", err)
		}
	})
	t.Run("on the home", func(t *testing.T) {
		h := newSSH(t, bad)
		mount(h, h.Home)
		if _, err := h.door.Read(h.Account, keyPath); !errors.Is(err, ErrRefused) {
			t.Errorf("Read: %v", err)
		}
	})
	t.Run("behind a link", func(t *testing.T) {
		h := newHome(t)
		h.mkdir(h.path("d"), 0o755, testUID)
		mount(h, h.path("d"))
		h.link("d", h.path(".ssh"), testUID)
		h.enforce(h.expect(BadDir))
	})
}

func TestBindMountInTheWay(t *testing.T) {
	testenv.Need(t, "root", "mount")
	h := newSSH(t, good)
	h.write(h.base+"/else", bad, 0o600, testUID)
	h.must(unix.Mount(h.base+"/else", h.keys(), "", unix.MS_BIND, ""))
	t.Cleanup(func() { h.must(unix.Unmount(h.keys(), unix.MNT_DETACH)) })
	if err := h.door.Replace(h.Account, keyPath, h.read().Version, []byte(good)); !errors.Is(err, unix.EBUSY) {
		t.Errorf("Replace: %v", err)
	}
}

// A snapshot of a directory of the user's keeps an unregistered key, and nothing
// there can be changed.
func TestSSHIsLinkToAReadOnlyPlace(t *testing.T) {
	testenv.Need(t, "root", "mount")
	for title, mode := range map[string][2]os.FileMode{
		"as sshd wants it": {0o700, 0o600}, "others may write": {0o777, 0o666}, "unreadable": {0o300, 0o000}, "out of reach": {0o000, 0o600},
	} {
		t.Run(title, func(t *testing.T) {
			h := newHome(t)
			snap := h.base + "/snap"
			h.mkdir(snap, 0o755, 0)
			h.must(unix.Mount("none", snap, "tmpfs", 0, "size=64k,mode=755"))
			t.Cleanup(func() { h.must(unix.Unmount(snap, unix.MNT_DETACH)) })
			h.mkdir(snap+"/ssh", 0o700, testUID)
			h.write(snap+"/ssh/"+name, bad, mode[1], testUID)
			h.write(snap+"/ssh/"+name+"2", bad, mode[1], testUID)
			h.must(os.Chmod(snap+"/ssh", mode[0]))
			h.must(unix.Mount("", snap, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
			h.link("../snap/ssh", h.path(".ssh"), testUID)
			h.enforce(h.read())
			if got, err := os.Readlink(h.aside("", ".ssh")); err != nil || got != "../snap/ssh" {
				t.Errorf("aside: %q %v", got, err)
			}
			second, err := h.door.Read(h.Account, keyPath+"2")
			if err != nil || second.State != Unreadable {
				t.Errorf("the other file: %v %v", second.State, err)
			}
		})
	}
}

func TestServerOfAPath(t *testing.T) {
	_, servers := parseMounts([]byte(`21 1 254:0 / / rw shared:1 - ext4 /dev/vda rw
30 21 0:40 / /home rw - autofs auto.home rw,fd=5
31 30 0:41 / /home/alice rw - nfs4 filer1:/export/home/alice rw
32 30 0:42 / /home/bob rw - nfs filer1:/export/home/bob rw
33 30 0:43 / /home/carol rw - nfs4 filer2:/export/home/carol rw
34 30 0:44 / /home/v6 rw - nfs4 [fe80::1]:/export rw
35 21 0:45 / /scratch rw - fuse.mpfs scratch rw,user_id=0
36 21 0:46 / /with\040blank rw - tmpfs none rw
37 21 0:47 / /scratch rw - tmpfs on-top rw
`))
	m := mounts{servers: servers}
	for path, want := range map[string]string{
		"/home/alice": "nfs filer1", "/home/bob/x": "nfs filer1", "/home/carol": "nfs filer2", "/home/v6": "nfs [fe80::1]",
		"/home/dave": "autofs 0:40", "/homely/x": "ext4 254:0", "/": "ext4 254:0", "/scratch/x": "tmpfs 0:47", "/with blank/x": "tmpfs 0:46",
	} {
		if got := m.find(path); got != want {
			t.Errorf("%s is served by %q, want %q", path, got, want)
		}
	}
}
