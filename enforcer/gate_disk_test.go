package enforcer_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/registry"
)

// What cannot be read or believed is told, and counts as if it were not there; it is never an empty registry.
func TestGateRefusesFiles(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		spoil func(path string) error
		want  string
		good  bool
	}{
		"nothing":          {func(path string) error { return os.Remove(path) }, "", false},
		"untouched":        {func(string) error { return nil }, "", true},
		"empty":            {func(path string) error { return os.Truncate(path, 0) }, "no reading of version 1", false},
		"cut":              {func(path string) error { return os.Truncate(path, 500) }, "checksum is wrong", false},
		"other head":       {replaced("one", "two"), "checksum is wrong", false},
		"other content":    {replaced("user0001", "user0000"), "checksum is wrong", false},
		"later version":    {replaced("reading 1", "reading 2"), "no reading of version 1", false},
		"for all to write": {func(path string) error { return os.Chmod(path, 0o666) }, "lets group or others write", false},
		"a link": {func(path string) error {
			return errors.Join(os.Rename(path, path+".x"), os.Symlink(path+".x", path))
		}, "is a symbolic link", false},
		"a folder": {func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) }, "is not a regular file", false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state", "registry")
			offerTo(t, openGate(t, dir), without(t, 20, 0))
			path := filepath.Join(dir, "good")
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
				t.Fatal(info.Mode(), err)
			}
			if err := c.spoil(path); err != nil {
				t.Fatal(err)
			}
			g, err := enforcer.OpenGate(dir)
			if good := g.Good("one"); (good != nil) != c.good {
				t.Errorf("good reading: %v", good)
			}
			if text := fmt.Sprint(err); (err != nil) != (c.want != "") || !strings.Contains(text, c.want) || err != nil && !strings.Contains(text, path) {
				t.Errorf("error %q, want %q and the path", text, c.want)
			}
			if good := g.Good("one"); good != nil && (good.Read.Before(now.Add(-time.Minute)) || good.Snapshot.Len() != 20) {
				t.Errorf("read at %v with %d users", good.Read, good.Snapshot.Len())
			}
			if g.Good("another registry") != nil {
				t.Error("one registry was taken for another")
			}
		})
	}
}

func replaced(what, by string) func(path string) error {
	return func(path string) error {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(path, []byte(strings.Replace(string(data), what, by, 1)), 0o600)
	}
}

// The age of a reading outlives the process. A clock that was set back is told, and neither shuts anybody out nor makes time run on.
func TestGateAge(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "registry")
	synctest.Test(t, func(t *testing.T) {
		g := openGate(t, dir)
		offerTo(t, g, without(t, 20, 0))
		time.Sleep(time.Hour)
		offerTo(t, g, without(t, 20, 0)) // the file of the reading stays, since nothing has changed
		time.Sleep(20 * time.Minute)
		if age := time.Since(openGate(t, dir).Good("one").Read); age != 20*time.Minute {
			t.Errorf("the reading is %v old", age)
		}
	})
	synctest.Test(t, func(t *testing.T) { // whose clock begins anew
		g, err := enforcer.OpenGate(dir)
		if err != nil {
			t.Fatal("at the very moment of the reading: ", err)
		}
		time.Sleep(time.Minute)
		offerTo(t, g, without(t, 20, 1))
	})
	synctest.Test(t, func(t *testing.T) {
		g, err := enforcer.OpenGate(dir)
		if err == nil || !strings.Contains(err.Error(), "the clock was set back") {
			t.Errorf("a reading from the future: %v", err)
		}
		time.Sleep(time.Second)
		if good := g.Good("one"); good == nil || time.Since(good.Read) != time.Second {
			t.Errorf("its age: %+v", good)
		}
	})
}

// A disk that takes nothing keeps nothing from being decided, and is told.
func TestGateOnABadDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "registry")
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	g, _ := enforcer.OpenGate(dir)
	half := without(t, 20, 10)
	for _, s := range []*registry.Snapshot{without(t, 20, 0), half} {
		_, _ = g.Offer(enforcer.Reading{Snapshot: s, SourceID: "one", Hold: usual})
		if err := g.Commit(); err == nil {
			t.Fatal("nothing could be written, and nothing was told")
		}
	}
	if g.Held() == nil || g.Good("one").Snapshot.Len() != 20 {
		t.Error("the loss is not held")
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := g.Commit(); err != nil {
		t.Fatal(err)
	}
	if v, err := openGate(t, dir).Waiting(usual); err != nil || v == nil || v.Digest != half.Digest() {
		t.Errorf("when the disk works again: %v, %v", v, err)
	}
}

// An acceptance that counted does so once, also when the disk does not take what came of it.
func TestGateAcceptsOnceOnABadDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "registry")
	g := openGate(t, dir)
	all := without(t, 20, 0)
	offerTo(t, g, all)
	offerTo(t, g, without(t, 20, 10))
	if err := (&enforcer.Enforcer{Trail: (&trail{}).write, Now: time.Now}).Accept(g, *g.Held(), "root", nil); err != nil {
		t.Fatal(err)
	}
	good := filepath.Join(dir, "good")
	if err := errors.Join(os.Remove(good), os.Mkdir(good, 0o700), g.Accepted()); err != nil {
		t.Fatal(err)
	}
	if g.Commit() == nil || g.Good("one").Snapshot.Len() != 10 {
		t.Fatal("it was kept, or not accepted")
	}
	if v, err := g.Offer(enforcer.Reading{Snapshot: all, SourceID: "one", Hold: usual}); err != nil || v.Held {
		t.Fatal(v.Summary(), err)
	}
	if err := g.Accepted(); err != nil || g.Good("one").Snapshot != all {
		t.Errorf("accepted a second time: %v", err)
	}
	if err := errors.Join(os.Remove(good), g.Commit()); err != nil || openGate(t, dir).Good("one").Snapshot.Len() != 20 {
		t.Errorf("when the disk works again: %v", err)
	}
}

// The same users from another registry are another reading.
func TestGateKeepsWhoseReadingItIs(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "registry")
	g := openGate(t, dir)
	offerTo(t, g, without(t, 20, 0))
	if _, err := g.Offer(enforcer.Reading{Snapshot: without(t, 20, 0), SourceID: "two", Hold: usual}); errors.Join(err, g.Commit()) != nil {
		t.Fatal(err)
	}
	if g := openGate(t, dir); g.Good("one") != nil || g.Good("two") == nil {
		t.Error("the reading is still that of the first registry")
	}
}

// BenchmarkGate is what a reading of 100,000 users costs beside its reading: where one key changed, and where nothing did.
func BenchmarkGate(b *testing.B) {
	g := openGate(b, filepath.Join(b.TempDir(), "state", "registry"))
	all, one := without(b, 100_000, 0), without(b, 100_000, 1)
	offerTo(b, g, all)
	b.Run("changed", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			offerTo(b, g, []*registry.Snapshot{one, all}[i%2])
		}
	})
	b.Run("same", func(b *testing.B) {
		for b.Loop() {
			offerTo(b, g, all)
		}
	})
}
