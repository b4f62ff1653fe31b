package watch

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		for range 100 {
			q.add("alice")
			q.add("bob")
		}
		q.drop("alice")
		go q.run()
		if hint := <-q.out; hint != "bob" {
			t.Errorf("%+v", hint)
		}
		q.add("alice")
		synctest.Wait() // run holds the hint out by now
		q.lost()
		if hint := <-q.out; hint != "alice" {
			t.Errorf("%+v", hint)
		}
		if hint := <-q.out; hint != "" {
			t.Errorf("%+v", hint)
		}
		q.stop()
		q.stop()
		if hint, open := <-q.out; open {
			t.Errorf("%+v", hint)
		}
	})
}

func TestFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "keys.ldif")
	ctx, cancel := context.WithCancel(t.Context())
	changed, err := File(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	wait := func(title string, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-changed:
		case <-time.After(patience):
			t.Fatalf("%s: no sign", title)
		}
	}
	wait("create", os.WriteFile(path, []byte("a"), 0o600))
	other := filepath.Join(dir, "other")
	if err := os.WriteFile(other, []byte("b"), 0o600); err != nil {
		t.Fatal(err)
	}
	wait("rename over", os.Rename(other, path))
	wait("remove", os.Remove(path))
	cancel()
	for range changed {
		// signs of the changes above may still wait
	}
	inner, end := context.WithCancel(t.Context())
	defer end()
	if changed, err = Folders(inner, []string{filepath.Join(dir, "no"), dir}); err != nil {
		t.Fatal(err)
	}
	wait("anything", os.WriteFile(filepath.Join(dir, "any"), nil, 0o600))
	if _, err := File(t.Context(), filepath.Join(dir, "no", "file")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
}
