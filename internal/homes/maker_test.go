package homes

import (
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// maker is one of this host that lives: the test itself.
func (h *home) maker() maker {
	h.Helper()
	m, err := newMaker()
	h.must(err)
	return m
}

// dead is a process of this host that is no more.
func (h *home) dead() maker {
	h.Helper()
	m := h.maker()
	child := exec.CommandContext(h.Context(), "true")
	h.must(child.Run())
	m.pid = child.Process.Pid
	return m
}

// elsewhere is a process of another host.
func (h *home) elsewhere() maker {
	h.Helper()
	m := h.dead()
	m.host = strings.Repeat("A", hostLetters)
	return m
}

// A process is dead when it is gone, a zombie, or when another one has its pid.
func TestDead(t *testing.T) {
	h := &home{TB: t}
	self, gone := h.maker(), h.dead()
	child := exec.CommandContext(t.Context(), "sh", "-c", "exit")
	end, err := child.StdoutPipe()
	h.must(err)
	h.must(child.Start())
	var info unix.Siginfo
	h.must(unix.Waitid(unix.P_PID, child.Process.Pid, &info, unix.WEXITED|unix.WNOWAIT, nil))
	zombie := self
	zombie.pid = child.Process.Pid
	_, zombie.start, err = Lifetime(zombie.pid)
	h.must(err)
	other := self
	other.start++
	first := self
	first.pid = 1
	_, first.start, err = Lifetime(1)
	h.must(err)
	for title, c := range map[string]struct {
		maker maker
		want  bool
	}{"alive": {self, false}, "gone": {gone, true}, "zombie": {zombie, true}, "a pid used again": {other, true}, "another process": {first, false}} {
		if got := c.maker.dead(); got != c.want {
			t.Errorf("%s: dead %v, want %v", title, got, c.want)
		}
	}
	h.must(end.Close())
	h.must(child.Wait())
}

func TestMakerOf(t *testing.T) {
	h := &home{TB: t}
	self := h.maker()
	if got, made := makerOf(self.tempName()); !made || got != self {
		t.Errorf("got %+v, %v, want %+v", got, made, self)
	}
	for _, name := range forged(self) {
		if got, made := makerOf(name); made {
			t.Errorf("%q is taken for one of %+v", name, got)
		}
	}
}

// forged are names that no maker gives.
func forged(m maker) []string {
	name := m.tempName()
	nobody, long := m, m
	nobody.pid = 0
	long.host += "A"
	return []string{
		tempPrefix, tempPrefix + rand.Text(), "x" + name, name + "X", name[:len(name)-1], name + "-", strings.ToLower(name),
		nobody.tempName(), long.tempName(), m.name(strings.Repeat("a", 26)), m.name(strings.Repeat("1", 26)),
		strings.Replace(name, m.host, strings.Repeat("1", hostLetters), 1), strings.Replace(name, "-0", "-+", 1),
		(maker{host: m.host, pid: 1 << 32, start: 1}).tempName(), (maker{host: m.host, pid: 0xabc, start: 1}).name("A"),
		strings.Replace((maker{host: m.host, pid: 0xabc, start: 1}).tempName(), "abc", "ABC", 1),
	}
}

// plant makes a leftover in .ssh, or what looks like one.
func (h *home) plant(entry string, uid int) string {
	h.Helper()
	h.write(h.path(".ssh", entry), bad, 0o600, uid)
	return entry
}

// left wants the entries of .ssh to be these.
func (h *home) left(want ...string) {
	h.Helper()
	slices.Sort(want)
	if left := h.entries(".ssh"); !slices.Equal(left, want) {
		h.Errorf("left:\n%q, want\n%q", left, want)
	}
}

// A run that was cut off leaves its new file, or the old one that it swapped out. At the first look it goes at once,
// whether there is something to change or not, if its maker is dead for certain.
func TestLeftovers(t *testing.T) {
	for title, sweep := range map[string]func(h *home){
		"without a change": func(h *home) { h.door.Clean(h.Account, keyPath, keyPath+"2", "/nowhere/at/all", "../odd") },
		"with a change":    func(h *home) { h.must(h.door.Replace(h.Account, keyPath, h.read().Version, []byte(good))) },
	} {
		t.Run(title, func(t *testing.T) {
			h := newSSH(t, bad)
			dead := h.dead()
			for range leftoverFiles / 4 { // below the bound, which must not be what saves the others
				h.plant(dead.tempName(), testUID)
			}
			stays := []string{
				name, h.plant("id_ed25519", testUID), h.plant("."+name+".keyreeve-aside-"+rand.Text(), testUID),
				h.plant(h.maker().tempName(), testUID), h.plant(h.elsewhere().tempName(), testUID), h.plant(dead.tempName(), otherUID),
				dead.tempName(), dead.tempName(), h.maker().tempName(),
			}
			h.mkdir(h.path(".ssh", stays[6]), 0o700, testUID)
			h.must(unix.Mkfifo(h.path(".ssh", stays[7]), 0o600))
			h.link("id_ed25519", h.path(".ssh", stays[8]), testUID)
			for _, entry := range forged(dead) {
				stays = append(stays, h.plant(entry, testUID))
			}
			sweep(h)
			h.left(stays...)
		})
	}
}

// What a live process made, or one of another host, goes when it is old, and the clock for that is a file's.
func TestLeftoversThatAreOld(t *testing.T) {
	h := newSSH(t, bad)
	h.setUp("grace", 0)
	stays := []string{name, h.plant(forged(h.elsewhere())[3], testUID), h.maker().tempName()}
	h.link("id_ed25519", h.path(".ssh", stays[2]), testUID)
	old := []string{h.plant(h.maker().tempName(), testUID), h.plant(h.elsewhere().tempName(), testUID)}
	h.door.Clean(h.Account, keyPath)
	h.left(slices.Concat(stays, old)...)
	h.must(h.door.Replace(h.Account, keyPath, h.read().Version, []byte(good)))
	h.left(stays...)
}

// The link that stood in the place of the file goes where it would have gone.
func TestLeftoverThatIsALink(t *testing.T) {
	h := newSSH(t, good)
	h.link("../mine", h.path(".ssh", h.dead().tempName()), testUID)
	h.door.Clean(h.Account, keyPath)
	aside := h.aside(".ssh", "."+name)
	if target, err := os.Readlink(aside); err != nil || target != "../mine" {
		t.Errorf("aside: a link to %q, %v", target, err)
	}
	h.left(name, filepath.Base(aside))
}

func TestLeftoversAreBounded(t *testing.T) {
	h := newSSH(t, bad)
	for range 3 * leftoverFiles {
		h.plant(h.elsewhere().tempName(), testUID)
	}
	// They are young: another Replace may be at work.
	for _, want := range []int{3 * leftoverFiles, 2 * leftoverFiles, leftoverFiles, 0, 0} {
		h.write(h.keys(), bad, 0o600, testUID) // what is as it should be is left alone
		h.must(h.door.Replace(h.Account, keyPath, h.read().Version, []byte(good)))
		if left := len(h.entries(".ssh")) - 1; left != want {
			t.Errorf("%d are left, want %d", left, want)
		}
		h.setUp("grace", 0)
	}
}

// A run that died in the rehearsal of a new .ssh leaves a directory in the home; what else its user has put there keeps it.
func TestLeftoverOfARehearsal(t *testing.T) {
	h := newSSH(t, good)
	dead := h.dead()
	empty, full, mine := h.path(dead.tempName()), h.path(dead.tempName()), h.path(dead.tempName())
	for _, dir := range []string{empty, full, mine, h.path(h.maker().tempName())} {
		h.mkdir(dir, 0o700, testUID)
	}
	h.write(full+"/"+dead.tempName(), good, 0o600, testUID)
	h.write(mine+"/mine", "mine", 0o600, testUID)
	h.door.Clean(h.Account, keyPath, keyPath+"2")
	if exists(empty) || exists(full) || h.content(mine+"/mine") != "mine" || len(h.entries("")) != 3 {
		t.Errorf("left are %q", h.entries(""))
	}
}
