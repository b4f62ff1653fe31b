package statefile_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/keyreeve/keyreeve/internal/statefile"
	"github.com/keyreeve/keyreeve/internal/testenv"
)

// smallDisk mounts a small file system that one user may fill, and gives a directory of root's there and a way to fill the rest to its last block and
// inode, as that user.
func smallDisk(t *testing.T, kind string) (dir string, fill func()) {
	t.Helper()
	below := t.TempDir()
	at, image := filepath.Join(below, "disk"), filepath.Join(below, "image")
	run := func(user uint32, words ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), words[0], words[1:]...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
		cmd.Dir = "/"
		if said, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", words, err, said)
		}
	}
	if err := os.Mkdir(at, 0o700); err != nil {
		t.Fatal(err)
	}
	switch kind {
	case "tmpfs":
		run(0, "mount", "-t", "tmpfs", "-o", "size=1m,nr_inodes=64", "none", at)
	case "ext4":
		run(0, "truncate", "-s", "4M", image)
		run(0, "mkfs.ext4", "-q", "-N", "64", image) // with blocks that are root's alone
		run(0, "mount", "-o", "loop", image, at)
	default:
		run(0, "truncate", "-s", "320M", image)
		run(0, "mkfs.xfs", "-q", image)
		run(0, "mount", "-o", "loop", image, at)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(at, 0); err != nil {
			t.Error(err)
		}
	})
	dir = filepath.Join(at, "ours")
	theirs := filepath.Join(at, "theirs")
	err := errors.Join(os.Chmod(at, 0o755), os.Mkdir(dir, 0o750), os.Chmod(dir, 0o750|fs.ModeSetgid), os.Mkdir(theirs, 0o700), os.Chown(theirs, 60002, 60002))
	// The way there is for everybody.
	for up := below; up != "/tmp" && up != "/" && err == nil; up = filepath.Dir(up) {
		err = os.Chmod(up, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir, func() {
		t.Helper()
		run(60002, "sh", "-c", "cd "+theirs+`; { cat /dev/zero >>junk; n=0; while (: >f$n); do n=$((n+1)); done; for again in 1 2 3; do cat /dev/zero >>junk; done; } 2>/dev/null; true`)
	}
}

// On a disk that a user keeps full what takes no more room is written, again and again, also where it grows and shrinks; what takes more is an error,
// and leaves the old.
func TestSpareOnAFullDisk(t *testing.T) {
	for _, kind := range []string{"tmpfs", "ext4", "xfs"} {
		t.Run(kind, func(t *testing.T) {
			testenv.Need(t, "root", "mount")
			if kind != "tmpfs" {
				testenv.Need(t, kind)
			}
			dir, fill := smallDisk(t, kind)
			const big = 60_000
			write := func(s statefile.Spare, size int) {
				t.Helper()
				data := bytes.Repeat([]byte{byte('a' + size%26)}, size)
				err := replaced(s, data)
				got, wrong := os.ReadFile(filepath.Join(dir, s.Name))
				if s.Padded {
					got = bytes.TrimRight(got, "\x00")
				}
				if err := errors.Join(err, wrong); err != nil || !bytes.Equal(got, data) {
					t.Fatalf("%s, %d bytes: %v", s.Name, size, err)
				}
			}
			all := []statefile.Spare{{Dir: dir, Name: "padded", Shared: true, Padded: true}, {Dir: dir, Name: "exact"}}
			for _, s := range all {
				write(s, big)
				if err := s.Ready(big); err != nil {
					t.Fatal(err)
				}
			}
			lopsided := statefile.Spare{Dir: dir, Name: "lopsided"}
			write(lopsided, 100)
			if err := lopsided.Ready(2 * big); err != nil {
				t.Fatal(err)
			}
			fill()
			// The others keep a few blocks back, which root may have.
			if err := replaced(lopsided, make([]byte, 2*big)); kind == "tmpfs" && !statefile.Full(err) {
				t.Errorf("more was written than the next spare could take: %v", err)
			}
			if err := os.WriteFile(filepath.Join(dir, "other"), make([]byte, big), 0o600); !statefile.Full(err) {
				t.Fatalf("the disk is not full: %v", err)
			}
			for _, s := range all {
				for n := range 20 {
					if write(s, big+100-50*n); n < 3 {
						fill()
					}
				}
				if s.Padded {
					write(s, 10)
					write(s, 10)
					fill()
					write(s, big) // what was given to it stays
				}
				before, _ := os.ReadFile(filepath.Join(dir, s.Name))
				if err := replaced(s, make([]byte, 8*big)); !statefile.Full(err) {
					t.Errorf("%s: got %v, want that there is no room", s.Name, err)
				}
				if after, err := os.ReadFile(filepath.Join(dir, s.Name)); err != nil || !bytes.Equal(after, before) {
					t.Errorf("%s: the old one is another: %v", s.Name, err)
				}
				write(s, 9000)
			}
		})
	}
}

// A file that somebody reads still is not written into when it has become the spare.
func TestSpareThatIsRead(t *testing.T) {
	dir := t.TempDir()
	s := statefile.Spare{Dir: dir, Name: "keys"}
	var held []*os.File
	for n := range 5 {
		text := strings.Repeat(fmt.Sprint(n), 100)
		if err := replaced(s, []byte(text)); err != nil {
			t.Fatal(err)
		}
		file, err := os.Open(filepath.Join(dir, "keys"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		held = append(held, file)
	}
	for n, file := range held {
		text := make([]byte, 200)
		if size, _ := file.ReadAt(text, 0); string(text[:size]) != strings.Repeat(fmt.Sprint(n), 100) {
			t.Errorf("%d reads %q", n, text[:size])
		}
	}
}

// What lies under the names is no way to another file, and what a crash left half written is written over.
func TestSpareHeals(t *testing.T) {
	testenv.Need(t, "root")
	dir := t.TempDir()
	s := statefile.Spare{Dir: dir, Name: "keys"}
	path, spare, other := filepath.Join(dir, "keys"), filepath.Join(dir, ".spare-keys"), filepath.Join(dir, "other")
	for name, spoil := range map[string]func() error{
		"none": func() error { return nil }, "half": func() error { return os.WriteFile(spare, []byte(strings.Repeat("half", 500)), 0o600) },
		"a link": func() error { return errors.Join(os.RemoveAll(spare), os.Symlink(other, spare)) }, "the file is a link": func() error { return errors.Join(os.RemoveAll(path), os.Symlink(other, path)) },
		"somebody else's": func() error { return errors.Join(os.WriteFile(spare, nil, 0o600), os.Chown(spare, 60001, 0)) },
		"no spare":        func() error { return os.RemoveAll(spare) }, "no file": func() error { return os.RemoveAll(path) },
		"a FIFO": func() error { return errors.Join(os.RemoveAll(spare), syscall.Mkfifo(spare, 0o600)) },
	} {
		if err := errors.Join(os.WriteFile(other, []byte("other"), 0o600), spoil()); err != nil {
			t.Fatal(err)
		}
		for n := range 3 {
			if err := replaced(s, fmt.Append(nil, name, n)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			text, err := os.ReadFile(path)
			info, wrong := os.Lstat(path)
			if err := errors.Join(err, wrong); err != nil || string(text) != fmt.Sprint(name, n) || info.Mode() != 0o600 {
				t.Errorf("%s: %q, %v, %v", name, text, info, err)
			}
			if uid, _ := statefile.Owner(info); uid != 0 {
				t.Errorf("%s: the file is uid %d's", name, uid)
			}
		}
		if text, err := os.ReadFile(other); err != nil || string(text) != "other" {
			t.Errorf("%s: another file became %q, %v", name, text, err)
		}
	}
}

// A file for a group gets it from its directory, without a right of root's; a directory that others are in, or that gives its group to
// nobody, is refused, and nothing is written.
func TestSpareShared(t *testing.T) {
	testenv.Need(t, "root") // for a group that this process is not in
	const gid = 60001
	for mode, good := range map[fs.FileMode]bool{
		0o750 | fs.ModeSetgid: true, 0o700 | fs.ModeSetgid: true, 0o750: false, 0o755 | fs.ModeSetgid: false, 0o770 | fs.ModeSetgid: false,
	} {
		dir := t.TempDir()
		if err := errors.Join(os.Chown(dir, 0, gid), os.Chmod(dir, mode)); err != nil {
			t.Fatal(err)
		}
		shared := statefile.Spare{Dir: dir, Name: "keys", Shared: true}
		err := errors.Join(replaced(shared, []byte("one")), replaced(shared, []byte("two")), replaced(shared, []byte("three")))
		list, _ := os.ReadDir(dir)
		if (err == nil) != good || !good && len(list) > 0 {
			t.Errorf("%v: %v, %v", mode, err, list)
		}
		if !good {
			continue
		}
		info, err := os.Stat(filepath.Join(dir, "keys"))
		if err != nil {
			t.Fatal(err)
		}
		if stat, ok := info.Sys().(*syscall.Stat_t); !ok || stat.Gid != gid || info.Mode() != 0o640 || len(list) != 2 {
			t.Errorf("%v: %v, gid %d, beside %v", mode, info.Mode(), stat.Gid, list)
		}
		if text, err := os.ReadFile(filepath.Join(dir, "keys")); err != nil || string(text) != "three" {
			t.Errorf("%q, %v", text, err)
		}
	}
}

func replaced(s statefile.Spare, data []byte) error {
	_, err := s.Replace(data)
	return err
}

// The mark is of the file that was written: not of one that somebody put in its place.
func TestMarkOfASpare(t *testing.T) {
	s := statefile.Spare{Dir: t.TempDir(), Name: "file"}
	for n := range 3 {
		mark, err := s.Replace(fmt.Append(nil, n))
		if err != nil {
			t.Fatal(err)
		}
		if now, err := statefile.MarkOf(filepath.Join(s.Dir, s.Name)); err != nil || now != mark {
			t.Errorf("%v, %v: not %v", now, err, mark)
		}
	}
}
