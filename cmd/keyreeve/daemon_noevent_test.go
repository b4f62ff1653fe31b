package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// What is changed here raises no event in a folder that is watched. Each of the tests fails when the check that it names is
// turned off.

// checks sets how often the daemon looks without having been told to.
func (s site) checks(sweep, fast string) {
	s.t.Helper()
	s.edit("sweep: 1h", "sweep: "+sweep)
	s.edit("fast_check: 0s", "fast_check: "+fast)
}

// holder is a process of a user's that holds a file: "mapped", or "open". What it is told it writes there.
type holder struct {
	t    *testing.T
	to   io.Writer
	from *bufio.Reader
	end  func() // for those who do not wait for that of the test
}

// holds starts a holder of a file below the home, which writes at an offset.
func (m member) holds(t *testing.T, how, path string, offset int) holder {
	t.Helper()
	cmd := exec.Command("/proc/self/exe") // its folder may be closed to users
	cmd.Args, cmd.Dir, cmd.Stderr = []string{"holder", how, path, strconv.Itoa(offset)}, m.home, os.Stderr
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(m.uid), Gid: uint32(m.gid)}}
	}
	to, toErr := cmd.StdinPipe()
	from, fromErr := cmd.StdoutPipe()
	if err := errors.Join(toErr, fromErr, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	end := sync.OnceFunc(func() {
		if err := errors.Join(to.Close(), cmd.Wait()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(end)
	h := holder{t, to, bufio.NewReader(from), end}
	h.done()
	return h
}

func (h holder) write(text string) {
	h.t.Helper()
	if _, err := fmt.Fprintln(h.to, text); err != nil {
		h.t.Fatal(err)
	}
	h.done()
}

func (h holder) done() {
	h.t.Helper()
	if _, err := h.from.ReadString('\n'); err != nil {
		h.t.Fatal(err)
	}
}

// hold is the program of a holder.
func hold() {
	if err := holdFile(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "holder:", err)
		os.Exit(1)
	}
}

func holdFile(how, path, at string) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	offset, err := strconv.Atoi(at)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	page, err := unix.Mmap(int(file.Fd()), 0, int(info.Size()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); fmt.Println("written") {
		if how == "mapped" {
			copy(page[offset:], lines.Text())
		} else if _, err := file.WriteAt(lines.Bytes(), int64(offset)); err != nil {
			return err
		}
	}
	return nil
}

// The key is stored through a mapping, into a page that was dirty when the daemon looked: stat(2) shows nothing either
// (TestStoreThatNothingShows in internal/homes). The fast check reads what is there.
func TestStoreThroughAMapping(t *testing.T) {
	s := newSite(t)
	_, keys := vectors(t)
	user := s.newMember(1, keys["A"])
	user.write(t, "authorized_keys", keys["A"]+"\n#"+strings.Repeat(".", len(keys["B"])-1)+"\n")
	s.put("registry.ldif", entries(user))
	s.configure("enforce", s.ldifRegistry())
	s.checks("1h", "1s")
	holder := user.holds(t, "mapped", ".ssh/authorized_keys", len(keys["A"])+1)
	holder.write("# mine")
	d := s.start()
	d.await("every home was looked at", 1)
	holder.write(keys["B"])
	user.loses(t, "authorized_keys", keys["B"])
	d.stop()
	if text := user.read(t, "authorized_keys"); text != keys["A"]+"\n" {
		t.Errorf("in the end the file is %q", text)
	}
}

// The process that stores is gone before any check can come, as one of cron's: its end is the event.
func TestStoreOfAProcessThatEnded(t *testing.T) {
	s := newSite(t)
	_, keys := vectors(t)
	user := s.newMember(1, keys["A"])
	user.write(t, "authorized_keys", keys["A"]+"\n#"+strings.Repeat(".", len(keys["B"])-1)+"\n")
	s.put("registry.ldif", entries(user))
	s.configure("enforce", s.ldifRegistry())
	s.checks("1h", "0s")
	d := s.start()
	d.await("every home was looked at", 1)
	holder := user.holds(t, "mapped", ".ssh/authorized_keys", len(keys["A"])+1)
	holder.write(keys["B"])
	holder.end()
	user.loses(t, "authorized_keys", keys["B"])
	d.stop()
	if text := user.read(t, "authorized_keys"); text != keys["A"]+"\n" {
		t.Errorf("in the end the file is %q", text)
	}
}

// The file was opened under a name that is gone: the kernel tells of a write in the folder of that name.
func TestWriteThroughAKeptDescriptor(t *testing.T) {
	s := newSite(t)
	_, keys := vectors(t)
	user := s.newMember(1, keys["A"])
	user.does(t, "mkdir else; cat >else/first", keys["A"]+"\n#"+strings.Repeat(".", len(keys["B"])-1)+"\n")
	holder := user.holds(t, "open", "else/first", len(keys["A"])+1)
	user.does(t, "ln else/first else/second; rm else/first; mv else/second .ssh/authorized_keys", "")
	s.put("registry.ldif", entries(user))
	s.configure("enforce", s.ldifRegistry())
	s.checks("1h", "1s")
	d := s.start()
	d.await("every home was looked at", 1)
	if text := user.read(t, "authorized_keys"); !strings.Contains(text, "#...") {
		t.Fatalf("the file was changed before: %q", text)
	}
	holder.write(keys["B"])
	user.loses(t, "authorized_keys", keys["B"])
	d.stop()
	if text := user.read(t, "authorized_keys"); text != keys["A"]+"\n" {
		t.Errorf("in the end the file is %q", text)
	}
}

// Another name is made for the file, in a folder that nobody watches, and the file is changed under that one. The daemon
// is stopped meanwhile, or it might see the other name first, which is reason enough for a new file.
func TestEditThroughAnotherHardLink(t *testing.T) {
	s := newSite(t)
	_, keys := vectors(t)
	user := s.newMember(1, keys["A"])
	user.write(t, "authorized_keys", keys["A"]+"\n")
	if err := errors.Join(os.Mkdir(s.path("else"), 0o755), os.Chown(s.path("else"), user.uid, user.gid)); err != nil {
		t.Fatal(err)
	}
	s.put("registry.ldif", entries(user))
	s.configure("enforce", s.ldifRegistry())
	s.checks("1s", "0s")
	d := s.start()
	d.await("every home was looked at", 1)
	d.signal(syscall.SIGSTOP)
	user.does(t, "ln .ssh/authorized_keys ../../else/link; cat >>../../else/link", keys["B"]+"\n")
	if text := user.read(t, "authorized_keys"); !strings.Contains(text, keys["B"]) {
		t.Errorf("the edit did not come to the file: %q", text)
	}
	d.signal(syscall.SIGCONT)
	user.loses(t, "authorized_keys", keys["B"])
	user.does(t, "cat >>../../else/link", keys["B"]+" again\n")
	d.stop()
	if text := user.read(t, "authorized_keys"); text != keys["A"]+"\n" {
		t.Errorf("in the end the file is %q", text)
	}
}

// Somebody writes to the file system below the one that is mounted here, as another client of an NFS server does. (NFS itself is
// not tried: a test host seldom has it.)
func TestWriteBelowAnOverlay(t *testing.T) {
	testenv.Need(t, "root", "mount")
	s := newSite(t)
	_, keys := vectors(t)
	user := s.newMember(1, keys["A"])
	user.write(t, "authorized_keys", keys["A"]+"\n")
	s.overlay(user)
	s.put("registry.ldif", entries(user))
	s.configure("enforce", s.ldifRegistry())
	s.checks("1s", "0s")
	d := s.start()
	d.await("every home was looked at", 1)
	below := user
	below.home = s.path("below")
	below.append(t, "authorized_keys", keys["B"]+"\n")
	user.loses(t, "authorized_keys", keys["B"])
	d.stop()
	if text := user.read(t, "authorized_keys"); text != keys["A"]+"\n" {
		t.Errorf("in the end the file is %q", text)
	}
	if text := below.read(t, "authorized_keys"); !strings.Contains(text, keys["B"]) {
		t.Errorf("below the overlay the file is %q: it was no write there", text)
	}
}

// overlay moves a home to the folder below, and mounts an overlay of that in its place. What is written there goes to a
// tmpfs: not every file system can be the upper layer.
func (s site) overlay(m member) {
	s.t.Helper()
	below, above := s.path("below"), s.path("above")
	upper, work := s.path("above", "upper"), s.path("above", "work")
	must := func(err error) {
		s.t.Helper()
		if err != nil {
			s.t.Fatal(err)
		}
	}
	unmount := func(path string) {
		s.t.Cleanup(func() {
			if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
				s.t.Error(err)
			}
		})
	}
	must(errors.Join(os.Rename(m.home, below), os.Mkdir(m.home, 0o755), os.Mkdir(above, 0o755)))
	must(unix.Mount("none", above, "tmpfs", 0, "size=1m,mode=755"))
	unmount(above)
	must(errors.Join(os.Mkdir(upper, 0o755), os.Mkdir(work, 0o755), os.Chown(upper, m.uid, m.gid)))
	must(unix.Mount("overlay", m.home, "overlay", 0, fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", below, upper, work)))
	unmount(m.home)
}
