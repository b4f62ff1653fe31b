package audit_test

import (
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/audit"
)

// The last records about a key come from all files of the trail, the oldest first, and no record that only names the key.
func TestAbout(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	if found, err := audit.About(path, 3, "SHA256:x"); err != nil || found != nil {
		t.Fatalf("without a trail: %v, %v", found, err)
	}
	about := record(t)
	put := func(users ...string) {
		t.Helper()
		log, err := audit.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, user := range users {
			r, other := about, about
			r.User, other.User = user, "other"
			other.Key, other.Comment, other.Message = authkeys.Key{}, about.Key.Fingerprint(), about.Key.Fingerprint()
			if err := log.Write(r, other); err != nil {
				t.Fatal(err)
			}
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
	}
	put("a", "b")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	put("c", "d")
	zip(t, path+".1", path+".1.gz")
	for most, want := range map[int][]string{1: {"1 7 d"}, 3: {"1 3 b", "1 5 c", "1 7 d"}, 9: {"1 1 a", "1 3 b", "1 5 c", "1 7 d"}} {
		found, err := audit.About(path, most, "SHA256:x", about.Key.Fingerprint())
		var got []string
		for _, f := range found {
			whole := 0
			if f.Time.Equal(about.Time) && f.Action == about.Action && f.Outcome == about.Outcome && f.Reason == about.Reason && f.File == about.File &&
				f.Message == about.Message && f.Quarantine == about.Quarantine && f.Host != "" {
				whole = 1
			}
			got = append(got, fmt.Sprint(whole, " ", f.Sequence, " ", f.User))
		}
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("the last %d: %v\n%s", most, err, d)
		}
	}
	if err := os.WriteFile(path+".1.gz", []byte("\x1f\x8bcut"), 0o600); err != nil {
		t.Fatal(err)
	}
	if found, err := audit.About(path, 9, about.Key.Fingerprint()); err == nil || found != nil {
		t.Errorf("of a file that cannot be read: %v, %v", found, err)
	}
}

// zip compresses a file as logrotate does.
func zip(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	w := gzip.NewWriter(file)
	_, err = w.Write(text)
	if err := errors.Join(err, w.Close(), file.Close(), os.Remove(from)); err != nil {
		t.Fatal(err)
	}
}
