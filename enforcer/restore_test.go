package enforcer_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/testenv"
)

// What comes back from quarantine makes .ssh give way where only root may write it. The registered keys of the other file in there come
// along.
func TestRestoringKeepsTheOtherFile(t *testing.T) {
	testenv.Need(t, "root")
	c := newCentre(t)
	a := c.account("alice", "")
	folder := filepath.Join(a.Home, ".ssh")
	second := filepath.Join(folder, "authorized_keys2")
	if err := errors.Join(os.WriteFile(second, []byte(lineB+"\n"), 0o644), os.Chmod(c.file(a), 0o644), os.Chown(folder, 0, 0), os.Chmod(folder, 0o755)); err != nil {
		t.Fatal(err)
	}
	hand := c.enforcer(&trail{})
	look := enforcer.Looker{Homes: c.door, Grants: grants(t, lineA, lineB), Act: hand.Apply}
	kept := enforcer.Copy{ID: "X", User: "alice", Name: ".ssh/authorized_keys", Content: []byte(lineA + "\n")}
	if r := look.Restoring(kept).Look(a); r.Err != nil || !r.Changed() {
		t.Errorf("error %v, changed %v", r.Err, r.Changed())
	}
	if got := c.read(a); got != lineA+"\n" && got != lineA+"\n"+lineB+"\n" {
		t.Errorf("the file holds %q", got)
	}
	if got, err := os.ReadFile(second); err != nil || string(got) != lineA+"\n"+lineB+"\n" {
		t.Errorf("the other file holds %q, %v", got, err)
	}
}
