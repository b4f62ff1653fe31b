package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// mounts makes a mount of the test's, and returns what ends it.
func (s site) mounts(source, target, kind string, flags uintptr, data string) (unmount func()) {
	s.t.Helper()
	if err := unix.Mount(source, target, kind, flags, data); err != nil {
		s.t.Fatal(err)
	}
	there := true
	unmount = func() {
		if there {
			there = false
			if err := unix.Unmount(target, unix.MNT_DETACH); err != nil {
				s.t.Error(err)
			}
		}
	}
	s.t.Cleanup(unmount) // before the site is removed
	return unmount
}

// beneath opens a folder before something is mounted over it, and returns what adds a line to a file in it.
func (m member) beneath(t *testing.T, dir, file string) (add func(line string)) {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	return func(line string) {
		t.Helper()
		opened, err := root.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := opened.WriteString(line + "\n"); err != nil {
			t.Fatal(err)
		}
		if err := opened.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// watches finds a folder, and returns what tells whether the daemon watches it (proc_pid_fdinfo(5)).
func (d *child) watches(dir string) func() bool {
	d.t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		d.t.Fatal(err)
	}
	return func() bool {
		d.t.Helper()
		files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", d.cmd.Process.Pid))
		if err != nil {
			d.t.Fatal(err)
		}
		for _, file := range files {
			if text, err := os.ReadFile(file); err == nil && strings.Contains(string(text), fmt.Sprintf(" ino:%x ", st.Ino)) {
				return true
			}
		}
		return false
	}
}

// Another file system is mounted over a home that is watched, and goes again: no folder tells of that.
func TestMountOverAHome(t *testing.T) {
	testenv.Need(t, "root", "mount")
	s := newSite(t)
	_, keys := vectors(t)
	user := s.newMember(1, keys["A"])
	user.write(t, "authorized_keys", keys["A"]+" below\n")
	other := user
	other.home = s.path("other")
	if err := os.Mkdir(other.home, 0o755); err != nil {
		t.Fatal(err)
	}
	s.mounts("none", other.home, "tmpfs", 0, "size=1m,mode=755")
	if err := errors.Join(os.Chown(other.home, user.uid, user.gid), os.Mkdir(other.file(""), 0o700), os.Chown(other.file(""), user.uid, user.gid)); err != nil {
		t.Fatal(err)
	}
	other.write(t, "authorized_keys", keys["B"]+"\n"+keys["A"]+" above\n")
	s.put("registry.ldif", entries(user))
	s.configure("enforce", s.ldifRegistry())
	s.checks("1h", "0s")
	d := s.start()
	d.await("every home was looked at", 1)
	s.mounts(other.home, user.home, "", unix.MS_BIND, "")
	user.loses(t, "authorized_keys", keys["B"])
	d.stop()
	if text := user.read(t, "authorized_keys"); text != keys["A"]+" above\n" {
		t.Errorf("in the end the file is %q", text)
	}
}

// A mount over .ssh hides a key that comes beneath it, and goes without an event.
func TestMountOverSSHThatGoes(t *testing.T) {
	testenv.Need(t, "root", "mount")
	s := newSite(t)
	_, keys := vectors(t)
	user := s.newMember(1, keys["A"])
	user.write(t, "authorized_keys", keys["A"]+"\n")
	user.does(t, "mkdir other; cat >other/authorized_keys", keys["A"]+" above\n")
	s.put("registry.ldif", entries(user))
	s.configure("enforce", s.ldifRegistry())
	s.checks("1h", "0s")
	d := s.start()
	d.await("every home was looked at", 1)
	add, hidden := user.beneath(t, user.file(""), "authorized_keys"), d.watches(user.file(""))
	unmount := s.mounts(user.home+"/other", user.file(""), "", unix.MS_BIND, "")
	eventually(t, "what is hidden is watched no more", func() bool { return !hidden() })
	add(keys["B"])
	unmount()
	user.loses(t, "authorized_keys", keys["B"])
	d.stop()
	if text := user.read(t, "authorized_keys"); text != keys["A"]+"\n" {
		t.Errorf("in the end the file is %q", text)
	}
}
