package enforcer_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/testenv"
)

// change gives a file something to remove and has that removed.
func (c *centre) change(hand *enforcer.Enforcer, a homes.Account, comment string) error {
	c.tb.Helper()
	if err := os.WriteFile(c.file(a), []byte(mixed+"# "+comment+"\n"), 0o600); err != nil {
		c.tb.Fatal(err)
	}
	return hand.Apply(c.plan(a, lineA))
}

// copies lists the paths of a user's copies, the oldest first.
func (c *centre) copies(user string) []string {
	c.tb.Helper()
	list, err := filepath.Glob(filepath.Join(c.dir, "quarantine", user, "*"))
	if err != nil {
		c.tb.Fatal(err)
	}
	return list
}

// dropped lists the copies of which the trail has the intent before they went, and the success after.
func (t *trail) dropped(tb testing.TB) []string {
	tb.Helper()
	var intents, list []string
	for _, r := range t.records {
		switch {
		case r.Action != audit.DropCopy:
		case r.Outcome == audit.Intent:
			intents = append(intents, r.Quarantine)
		case slices.Contains(intents, r.Quarantine):
			list = append(list, r.Quarantine)
		}
	}
	if len(intents) != len(list) {
		tb.Errorf("%d copies were to go, %d went", len(intents), len(list))
	}
	return list
}

// Where all copies are too large together, who has most loses his oldest: a small user's evidence outlives many others' floods.
func TestQuarantineHasABound(t *testing.T) {
	c, tr := newCentre(t), &trail{}
	hand := c.enforcer(tr)
	hand.Now, hand.Quarantine.Budget, hand.Quarantine.MaxSize = time.Now, 1<<20, 20_000
	quiet := c.account("quiet", mixed)
	if err := c.change(hand, quiet, "the only one"); err != nil {
		t.Fatal(err)
	}
	before := c.copies("quiet")
	loud := []homes.Account{c.account("loud1", mixed), c.account("loud2", mixed), c.account("loud3", mixed)}
	var all []string
	for i := range 20 {
		for _, a := range loud {
			if err := c.change(hand, a, fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if after := c.copies("quiet"); !slices.Equal(before, after) || len(after) != 1 {
		t.Errorf("the quiet user's copies were %v and are %v", before, after)
	}
	var size int64
	for _, path := range c.copies("*") {
		all = append(all, path)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	dropped := tr.dropped(t)
	if size > 20_000 || size < 17_000 || len(dropped)+len(all) != 61 {
		t.Errorf("%d copies of %d bytes are left, %d were dropped", len(all), size, len(dropped))
	}
	if held, most, err := hand.Quarantine.Load(); held != size || most != 20_000 || err != nil {
		t.Errorf("load is %d of %d, %v; the disk has %d", held, most, err, size)
	}
	for _, a := range loud {
		if n := len(c.copies(a.Name)); n < 4 {
			t.Errorf("%s has %d copies left", a.Name, n)
		}
	}
	hand.Quarantine.MaxSize = 1
	if err := c.change(hand, quiet, "larger than all may be"); err != nil {
		t.Fatal(err)
	}
	if left := c.copies("quiet"); len(left) != 1 || left[0] == before[0] || len(c.copies("*")) > 4 {
		t.Errorf("the copy that was just written is not the one that is left: %v of %v", left, c.copies("*"))
	}
}

// A copy that is about to go is nobody else's to drop.
func TestQuarantineDropsOnce(t *testing.T) {
	c, first, second := newCentre(t), &trail{}, &trail{}
	hand := c.enforcer(first)
	hand.Now, hand.Quarantine.Budget, hand.Quarantine.MaxAge = time.Now, 1<<20, time.Hour
	a := c.account("alice", mixed)
	for i := range 3 {
		if err := c.change(hand, a, fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	for _, ahead := range []time.Duration{0, 40 * time.Minute} {
		hand.Now = func() time.Time { return time.Now().Add(ahead) }
		if err := hand.TrimQuarantine(); err != nil || len(first.dropped(t)) > 0 {
			t.Fatalf("%v: %v", err, first.dropped(t))
		}
	}
	later := func() time.Time { return time.Now().Add(80 * time.Minute) }
	other := &enforcer.Enforcer{Quarantine: hand.Quarantine, Trail: second.write, Now: later}
	hand.Now, first.seen = later, func() {
		if err := other.TrimQuarantine(); err != nil {
			t.Error(err)
		}
		if held, _, err := hand.Quarantine.Load(); held != 0 || err != nil {
			t.Errorf("copies that go are counted: %d bytes, %v", held, err)
		}
	}
	if err := hand.TrimQuarantine(); err != nil || len(first.dropped(t)) != 3 || len(second.records) > 0 {
		t.Errorf("%v: %v, and %v", err, first.dropped(t), second.outcomes())
	}
}

// Workers that drop copies at the same time do not count or remove one twice.
func TestQuarantineBoundsInParallel(t *testing.T) {
	c, tr := newCentre(t), &trail{}
	hand := c.enforcer(tr)
	hand.Now, hand.Quarantine.Budget, hand.Quarantine.MaxSize = time.Now, 5000, 12_000
	var all sync.WaitGroup
	for i := range 6 {
		a := c.account(fmt.Sprint("user", i), mixed)
		all.Go(func() {
			for n := range 15 {
				if err := c.change(hand, a, fmt.Sprint(n)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	dropped := tr.dropped(t)
	if left := c.copies("*"); len(left)+len(dropped) != 90 {
		t.Errorf("%d are left and %d dropped of 90", len(left), len(dropped))
	}
	held, _, _ := hand.Quarantine.Load()
	if err := hand.TrimQuarantine(); err != nil {
		t.Fatal(err)
	}
	if again, _, err := hand.Quarantine.Load(); again != held || held > 12_000 || err != nil {
		t.Errorf("held %d, counted %d, %v", held, again, err)
	}
}

// What is too old goes when the quarantine is trimmed, and nothing else.
func TestQuarantineAge(t *testing.T) {
	c, tr := newCentre(t), &trail{}
	hand, day := c.enforcer(tr), time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	hand.Now = func() time.Time { return day }
	hand.Quarantine.Budget, hand.Quarantine.MaxAge = 1<<20, 10*24*time.Hour
	a := c.account("alice", mixed)
	var kept []string
	for range 5 {
		if err := c.change(hand, a, day.String()); err != nil {
			t.Fatal(err)
		}
		kept = append(kept, c.copies("alice")[len(c.copies("alice"))-1])
		if err := hand.TrimQuarantine(); err != nil {
			t.Fatal(err)
		}
		day = day.AddDate(0, 0, 4)
	}
	odd := filepath.Join(c.dir, "quarantine", "alice", "2-kept by hand")
	if err := os.WriteFile(odd, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := hand.TrimQuarantine(); err != nil {
			t.Fatal(err)
		}
	}
	// They are 20, 16, 12, 8 and 4 days old.
	dropped := tr.dropped(t)
	if left := c.copies("alice"); !slices.Equal(dropped, kept[:3]) || len(left) != 3 || !slices.Contains(left, odd) {
		t.Errorf("dropped %v of %v", dropped, kept)
	}
	if r := tr.records[len(tr.records)-1]; r.Reason != "quarantine-age" || r.UID != a.UID || r.File != c.file(a) || r.User != "alice" {
		t.Errorf("record %+v", r)
	}
	// Without the record nothing goes.
	day = day.AddDate(0, 0, 9)
	tr.fail = func(audit.Record) error { return io.ErrShortWrite }
	if err := hand.TrimQuarantine(); !errors.Is(err, io.ErrShortWrite) || len(c.copies("alice")) != 3 {
		t.Errorf("%v; %v are left", err, c.copies("alice"))
	}
	tr.fail = nil
	if err := hand.TrimQuarantine(); err != nil || len(c.copies("alice")) != 1 {
		t.Errorf("%v; %v are left", err, c.copies("alice"))
	}
}

// A real disk that is full: removal stops, with nothing changed, or goes on and the trail says that there is no copy.
func TestQuarantineFull(t *testing.T) {
	testenv.Need(t, "root", "mount")
	c := newCentre(t)
	a, dir := c.account("alice", mixed), filepath.Join(c.dir, "quarantine")
	if err := errors.Join(os.Mkdir(dir, 0o700), syscall.Mount("none", dir, "tmpfs", 0, "size=64k,mode=700")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	junk, err := os.Create(filepath.Join(dir, "junk"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(junk, zeros{}); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	if err := junk.Close(); err != nil {
		t.Fatal(err)
	}

	stopped := &trail{}
	hand := c.enforcer(stopped)
	hand.Quarantine.Budget = 1 << 20
	err = hand.Apply(c.plan(a, lineA))
	if !errors.Is(err, enforcer.ErrQuarantineFull) || !errors.Is(err, syscall.ENOSPC) || c.read(a) != mixed {
		t.Errorf("stop: %v; the file holds %q", err, c.read(a))
	}
	if got := stopped.outcomes(); !strings.HasPrefix(got[len(got)-1], "failure replace-file") || len(c.copies("alice")) > 0 {
		t.Errorf("stop: %v, %v", got, c.copies("alice"))
	}

	gone := &trail{}
	hand = c.enforcer(gone)
	hand.Quarantine.RemoveIfFull = true
	if err := hand.Apply(c.plan(a, lineA)); err != nil || c.read(a) != clean {
		t.Errorf("remove: %v; the file holds %q", err, c.read(a))
	}
	want := []string{"intent replace-file ", "intent remove-line unregistered", "failure keep-copy quarantine-full", "success replace-file "}
	if got := gone.outcomes(); !slices.Equal(got, want) || gone.records[1].Raw == "" {
		t.Errorf("remove: %v", got)
	}
	// Without that record nothing is changed even so.
	mute := &trail{fail: func(r audit.Record) error {
		if r.Action == audit.KeepCopy {
			return io.ErrShortWrite
		}
		return nil
	}}
	hand = c.enforcer(mute)
	hand.Quarantine.RemoveIfFull = true
	if err := c.change(hand, a, "x"); !errors.Is(err, io.ErrShortWrite) || !strings.Contains(c.read(a), lineB) {
		t.Errorf("without a record: %v; the file holds %q", err, c.read(a))
	}

	if err := os.Remove(junk.Name()); err != nil {
		t.Fatal(err)
	}
	if err := c.change(c.enforcer(&trail{}), a, "x"); err != nil || len(c.copies("alice")) != 1 {
		t.Errorf("with room again: %v, %v", err, c.copies("alice"))
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// Any error but a full disk stops the change, whatever is configured.
func TestQuarantineThatFails(t *testing.T) {
	c, tr := newCentre(t), &trail{}
	a := c.account("alice", mixed)
	if err := os.WriteFile(filepath.Join(c.dir, "quarantine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	hand := c.enforcer(tr)
	hand.Quarantine.RemoveIfFull = true
	if err := hand.Apply(c.plan(a, lineA)); err == nil || c.read(a) != mixed {
		t.Errorf("%v; the file holds %q", err, c.read(a))
	}
	if err := errors.Join(os.Remove(hand.Quarantine.Dir), os.MkdirAll(filepath.Join(hand.Quarantine.Dir, "alice"), 0o777), os.Chmod(filepath.Join(hand.Quarantine.Dir, "alice"), 0o777)); err != nil {
		t.Fatal(err)
	}
	if err := hand.Apply(c.plan(a, lineA)); err == nil || !strings.Contains(err.Error(), "mode 0777") || c.read(a) != mixed {
		t.Errorf("%v; the file holds %q", err, c.read(a))
	}
}
