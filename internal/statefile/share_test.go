package statefile

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// One user reads his file; he does not write it, nor another one's, nor does he see whose are there.
func TestPublishTo(t *testing.T) {
	above := testenv.RootDir(t)
	dir := filepath.Join(above, "users")
	mask := syscall.Umask(0o077) // as the unit has it
	defer syscall.Umask(mask)
	err := errors.Join(os.Mkdir(dir, 0o700), EnsurePassage(dir))
	for range 2 { // it takes the place of one that is there
		err = errors.Join(err, PublishTo(dir, "mine", []byte("text\n"), 65001), PublishTo(dir, "other", []byte("other\n"), 65002))
	}
	if err != nil {
		t.Fatal(err)
	}
	as := func(uid uint32, command string) (string, error) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
		cmd.Dir = dir
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: 65001}}
		out, err := cmd.Output()
		return string(out), err
	}
	if out, err := as(65001, "cat mine"); err != nil || out != "text\n" {
		t.Errorf("whose it is: %q %v", out, err)
	}
	for _, command := range []string{"cat other", "echo >>mine", "ls", "rm mine", "chmod 666 mine", ">new"} {
		if out, err := as(65001, command+" 2>&1"); err == nil {
			t.Errorf("%s: %q", command, out)
		}
	}
	if out, err := as(65003, "cat mine"); err == nil {
		t.Errorf("a third one: %q", out)
	}
	info, err := os.Stat(filepath.Join(dir, "mine"))
	if uid, _ := Owner(info); err != nil || uid != 0 || info.Mode().Perm()&0o337 != 0 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if err := PublishTo(filepath.Join(above, "gone"), "mine", nil, 65001); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a directory: %v", err)
	}
}
