package homes

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// attacker is the user of a home as testenv wants him.
func (h *home) attacker() testenv.Account {
	return testenv.Account{UID: h.UID, GID: h.GID, Home: h.Home}
}

// stuck replaces the file until that is stuck.
func (h *home) stuck() {
	h.Helper()
	before := h.read().Version
	begin := time.Now()
	if err := h.door.Replace(h.Account, keyPath, before, []byte(good)); !errors.Is(err, ErrStuck) {
		h.Fatalf("Replace: %v, want ErrStuck", err)
	}
	if took := time.Since(begin); took > 10*time.Second {
		h.Errorf("that was found out after %v", took)
	}
	if h.door.Stuck() != 1 {
		h.Errorf("%d threads are stuck, want 1", h.door.Stuck())
	}
	if err := h.door.Replace(h.Account, keyPath, before, []byte(good)); !errors.Is(err, ErrStuck) || h.door.Stuck() != 1 {
		h.Errorf("a second Replace, which would be stuck as well: %v, and %d threads are stuck, want 1", err, h.door.Stuck())
	}
}

// back waits until every thread that was left behind has come back.
func (h *home) back() {
	h.Helper()
	for end := time.Now().Add(20 * time.Second); h.door.Stuck() != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			h.Fatalf("%d threads never came back", h.door.Stuck())
		}
	}
}

// Whoever holds the lock of his file, or of .ssh, by a call that waits for his own file server, keeps no key by that.
func TestChangeThatIsStuck(t *testing.T) {
	for title, hold := range map[string]func(h *home) *testenv.Stall{
		"a write into the file": func(h *home) *testenv.Stall { return testenv.HoldFile(h.TB, h.attacker(), h.keys(), bad) },
		"a list of .ssh":        func(h *home) *testenv.Stall { return testenv.HoldDir(h.TB, h.attacker(), h.path(".ssh")) },
		"a file behind a link": func(h *home) *testenv.Stall {
			h.must(os.Rename(h.path(".ssh"), h.path("elsewhere")))
			h.link("elsewhere", h.path(".ssh"), testUID)
			return testenv.HoldFile(h.TB, h.attacker(), h.keys(), bad)
		},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			h := newSSH(t, bad)
			holder := hold(h)
			h.stuck()
			h.must(h.door.Renew(h.Account, keyPath, []byte(good)))
			h.holds(good)
			h.must(h.door.Renew(h.Account, keyPath, []byte(good+"# again\n")))
			h.holds(good + "# again\n")
			holder.Let()
			h.back()
			h.holds(good + "# again\n")
			h.must(h.door.Replace(h.Account, keyPath, h.read().Version, []byte(good)))
			h.holds(good)
		})
	}
}

// neighbour is another user's home on the same file system.
func (h *home) neighbour(name, content string) *home {
	h.Helper()
	n := *h
	n.Account = Account{Name: name, UID: otherUID, GID: otherUID, Home: h.base + "/" + name}
	n.mkdir(n.Home, 0o755, otherUID)
	n.mkdir(n.path(".ssh"), 0o700, otherUID)
	n.write(n.keys(), content, 0o600, otherUID)
	return &n
}

// Whoever hangs his own change hangs nobody else's on the file system.
func TestChangeBesideOneThatIsStuck(t *testing.T) {
	t.Parallel()
	for title, mode := range map[string]string{"user": os.Getenv(doorMode), "root": "guard"} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			h := newHomeFor(t, mode)
			h.mkdir(h.path(".ssh"), 0o700, testUID)
			h.write(h.keys(), bad, 0o600, testUID)
			bob := h.neighbour("bob", bad)
			holder := testenv.HoldFile(t, h.attacker(), h.keys(), bad)
			h.stuck()
			for _, text := range []string{good, good + "# again\n"} {
				bob.must(bob.door.Replace(bob.Account, keyPath, bob.read().Version, []byte(text)))
				bob.holds(text)
			}
			bob.must(os.Remove(bob.keys()))
			bob.must(bob.door.Replace(bob.Account, keyPath, bob.read().Version, []byte(good)))
			bob.holds(good)
			holder.Let()
			h.back()
		})
	}
}

// holds wants a tidy file with the text where sshd looks for it.
func (h *home) holds(text string) {
	h.Helper()
	if file := h.read(); file.State != Regular || !file.Tidy || string(file.Data) != text {
		h.Errorf("the file is %v (%s): %.40q, want %q", file.State, file.Detail, file.Data, text)
	}
}

// Who holds the lock of his home too cannot be helped; it costs two threads, and no more.
func TestRenewThatIsStuck(t *testing.T) {
	t.Parallel()
	h := newSSH(t, bad)
	file := testenv.HoldFile(t, h.attacker(), h.keys(), bad)
	h.stuck()
	whole := testenv.HoldDir(t, h.attacker(), h.Home)
	for range 3 {
		if err := h.door.Renew(h.Account, keyPath, []byte(good)); !errors.Is(err, ErrStuck) {
			t.Fatalf("Renew: %v", err)
		}
	}
	if h.door.Stuck() != 2 {
		t.Errorf("%d threads are stuck", h.door.Stuck())
	}
	whole.Let()
	file.Let()
	h.back()
	h.enforce(h.expect(BadDir)) // the Renew that was left behind moved .ssh and stopped
}

// Renew without any hang, also where there is no .ssh.
func TestRenew(t *testing.T) {
	for _, h := range []*home{newSSH(t, bad), newHome(t)} {
		h.must(h.door.Renew(h.Account, keyPath, []byte(good)))
		h.holds(good)
	}
}
