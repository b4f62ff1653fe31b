package homes

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// midst is a Replace of the file that stops when its new file is made, for its user's deed, and goes on with end.
func midst(door *Door, a Account, before Version, deed func(temp string) error, end func(j *job, t *temp) error) error {
	return door.As(a, func() error {
		j := job{effort: new(effort), door: door, account: a, spot: spot{dirs: []string{".ssh"}, name: name}, before: before, after: []byte(good), uid: testUID, at: none()}
		if err := j.find(); err != nil {
			return err
		}
		defer j.p.close()
		defer j.at.close()
		temp, err := j.stage()
		if err != nil {
			return err
		}
		defer temp.discard()
		if err := deed(a.Home + "/.ssh/" + temp.name); err != nil {
			return fmt.Errorf("deed: %w", err)
		}
		return end(&j, temp)
	})
}

func (h *home) midst(deed func(temp string) error, end func(j *job, t *temp) error) error {
	h.Helper()
	return midst(h.inside(), h.Account, h.expect(Regular).Version, deed, end)
}

// What came before the last look is no version to change, also where names cannot be exchanged, as on NFS, and nothing else would find it.
func TestLastLook(t *testing.T) {
	const edited = "ssh-ed25519 AAAAfromtheeditor\n"
	look := func(t *testing.T) {
		t.Helper()
		h := newSSH(t, bad)
		err := h.midst(func(string) error {
			return errors.Join(os.WriteFile(h.path("new"), []byte(edited), 0o600), os.Rename(h.path("new"), h.keys()))
		}, (*job).install)
		if !errors.Is(err, ErrChanged) || h.content(h.keys()) != edited {
			t.Errorf("install: %v; the file holds %q", err, h.content(h.keys()))
		}
	}
	if inChild(t, unix.EINVAL) {
		look(t)
		return
	}
	t.Run("with exchange", look)
}

// A second name of the new file, by which its user could write it unseen, is found out.
func TestNewFileWithASecondName(t *testing.T) {
	h := newSSH(t, bad)
	err := h.midst(func(temp string) error { return os.Link(temp, h.path("second")) }, func(j *job, t *temp) error {
		if err := j.install(t); err != nil {
			return err
		}
		return j.verify(t.fd)
	})
	if !errors.Is(err, ErrChanged) {
		t.Errorf("verify: %v", err)
	}
}

// A file that its user has put under the name of the new one is his, and is not removed with it.
func TestDiscardSparesTheUsersFile(t *testing.T) {
	h := newSSH(t, bad)
	stop := errors.New("stop")
	err := h.midst(func(temp string) error {
		return errors.Join(os.WriteFile(h.path("mine"), []byte("mine"), 0o600), os.Rename(h.path("mine"), temp))
	}, func(*job, *temp) error { return stop })
	left, wrong := filepath.Glob(h.path(".ssh", ".keyreeve-new-*"))
	if !errors.Is(err, stop) || wrong != nil || len(left) != 1 || h.content(left[0]) != "mine" {
		t.Errorf("%v; left are %q, %v", err, left, wrong)
	}
}
