package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// threads counts the threads of a process by their state (proc_pid_stat(5)).
func threads(pid int) map[string]int {
	found := make(map[string]int)
	paths, _ := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/stat")
	for _, path := range paths {
		text, _ := os.ReadFile(path)
		if _, after, ok := strings.Cut(string(text), ") "); ok {
			found[after[:1]]++
		}
	}
	return found
}

// hangs waits until a thread of the daemon has not moved for a second: one that waits for the disk is in the same state.
func (d *child) hangs() {
	d.t.Helper()
	since := time.Now()
	eventually(d.t, "a thread of the daemon hangs", func() bool {
		if threads(d.cmd.Process.Pid)["D"] == 0 {
			since = time.Now()
		}
		return time.Since(since) > time.Second
	})
}

// undead waits until of a process nothing is left but its dead first thread and what hangs.
func (d *child) undead() {
	d.t.Helper()
	eventually(d.t, "the daemon is a zombie, one thread of which hangs", func() bool {
		found := threads(d.cmd.Process.Pid)
		return found["Z"] == 1 && found["D"] > 0 && len(found) == 2
	})
}

// as is the member as testenv wants him.
func (m member) as() testenv.Account {
	return testenv.Account{Name: m.name, UID: m.uid, GID: m.gid, Home: m.home}
}

// A user keeps his file in place by a write of his own that waits for his own file server. The key goes nevertheless; the daemon
// that hangs in it does not keep the next one away, whether it was killed or told to end.
func TestDaemonFreesAKeyThatIsHeld(t *testing.T) {
	testenv.Need(t, "root", "fuse")
	s := newSite(t)
	_, keys := vectors(t)
	user, other := s.newMember(1, keys["A"]), s.newMember(2, keys["A"])
	for _, m := range []member{user, other} {
		m.write(t, "authorized_keys", keys["A"]+"\n"+keys["B"]+"\n")
	}
	s.put("registry.ldif", entries(user, other))
	s.configure("enforce", s.ldifRegistry())
	stall := testenv.HoldFile(t, user.as(), user.file("authorized_keys"), keys["B"]+"\n")
	defer stall.Let() // before any daemon is waited for

	killed := s.start()
	killed.hangs()
	killed.signal(syscall.SIGKILL)
	killed.undead()

	ended := s.start()
	took := user.loses(t, "authorized_keys", keys["B"])
	t.Logf("the key was gone %d ms after the start", took.Milliseconds())
	for _, m := range []member{other, user} {
		eventually(t, m.name+" has a file", func() bool { return m.read(t, "authorized_keys") == keys["A"]+"\n" })
		m.append(t, "authorized_keys", keys["B"]+" again\n")
		eventually(t, m.name+" has the registered key alone", func() bool { return m.read(t, "authorized_keys") == keys["A"]+"\n" })
	}
	trail, err := os.ReadFile(s.path("log", "audit.jsonl"))
	if err != nil || !strings.Contains(string(trail), `"event.reason":"stuck"`) {
		t.Errorf("the trail does not tell: %v\n%s", err, trail)
	}
	ended.signal(syscall.SIGTERM)
	ended.undead()

	last := s.start()
	last.await("every home was looked at", 1)
	stall.Let()
	for _, d := range []*child{killed, ended} {
		<-d.ended
	}
	user.loses(t, "authorized_keys", keys["B"])
	last.stop()
}

// A user has nothing but an authorized_keys2, and holds .ssh so that not even the look-up of the first file comes back. A plan says
// so, and the daemon takes the key.
func TestDaemonFreesAKeyBehindALookUp(t *testing.T) {
	testenv.Need(t, "root", "fuse")
	s := newSite(t)
	_, keys := vectors(t)
	user := s.newMember(1, keys["A"])
	user.write(t, "authorized_keys2", keys["B"]+"\n")
	s.put("registry.ldif", entries(user))
	s.configure("enforce", s.ldifRegistry())
	stall := testenv.HoldDir(t, user.as(), filepath.Dir(user.file("x")))
	defer stall.Let()
	queued := exec.CommandContext(t.Context(), "mkdir", user.file("queued"))
	if err := queued.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a change waits for the lock", func() bool { return threads(queued.Process.Pid)["D"] == 1 })

	d := s.start()
	user.loses(t, "authorized_keys2", keys["B"])
	eventually(t, "the user has his registered key", func() bool { return user.read(t, "authorized_keys") == keys["A"]+"\n" })
	user.write(t, "authorized_keys2", keys["B"]+"\n")
	user.loses(t, "authorized_keys2", keys["B"])
	stall.Let()
	if err := queued.Wait(); err != nil {
		t.Error(err)
	}
	d.stop()
}

// A user holds one of two directories of key files, so that not even a list of it comes back: that one gives way, the other one
// stays, with all that is in it.
func TestDaemonLeavesTheOtherDirectory(t *testing.T) {
	testenv.Need(t, "root", "fuse")
	s := newSite(t)
	_, keys := vectors(t)
	user := s.newMember(1, keys["A"])
	user.write(t, "authorized_keys", keys["A"]+"\n")
	user.does(t, "mkdir .keys; cat >.keys/x", keys["B"]+"\n")
	s.put("registry.ldif", entries(user))
	s.newerSSHD(".ssh/authorized_keys .keys/*")
	before, err := os.Stat(filepath.Dir(user.file("x")))
	if err != nil {
		t.Fatal(err)
	}
	stall := testenv.HoldDir(t, user.as(), filepath.Join(user.home, ".keys"))
	defer stall.Let()
	queued := exec.CommandContext(t.Context(), "mkdir", filepath.Join(user.home, ".keys", "queued"))
	if err := queued.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a change waits for the lock", func() bool { return threads(queued.Process.Pid)["D"] == 1 })

	d := s.start()
	user.loses(t, filepath.Join("..", ".keys", "x"), keys["B"])
	d.await("every home was looked at", 1)
	user.append(t, "authorized_keys", keys["B"]+"\n")
	user.loses(t, "authorized_keys", keys["B"])
	stall.Let()
	if err := queued.Wait(); err != nil {
		t.Error(err)
	}
	if now, err := os.Stat(filepath.Dir(user.file("x"))); err != nil || !os.SameFile(before, now) {
		t.Errorf(".ssh is another one, %v", err)
	}
	d.stop()
}
