package homes

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// A user's FUSE file system that nobody serves, so that whoever asks it anything waits: for him alone, as fusermount(1) mounts it, or
// for all, which shows each reader what he likes. It is known for what it is without a question.
func TestFuseOfTheUsersOwn(t *testing.T) {
	testenv.Need(t, "root", "mount", "fuse")
	tests := map[string]struct {
		path, rootmode string
		state          State
		refused        error // of a change
	}{
		".ssh":     {".ssh", "40000", BadDir, unix.EBUSY},
		"the file": {keyPath, "100600", Unreadable, unix.EBUSY},
		"the home": {"", "40000", Missing, ErrRefused},
	}
	for title, test := range tests {
		for _, others := range []string{"", ",allow_other"} {
			t.Run(title+others, func(t *testing.T) {
				h := newSSH(t, bad)
				device, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
				h.must(err)
				path := h.path(test.path)
				data := fmt.Sprintf("fd=%d,rootmode=%s,user_id=%d,group_id=%d%s", device, test.rootmode, testUID, testUID, others)
				h.must(unix.Mount("keyreeve-test", path, "fuse", unix.MS_NOSUID|unix.MS_NODEV, data))
				t.Cleanup(func() { h.must(errors.Join(unix.Close(device), unix.Unmount(path, unix.MNT_DETACH))) })

				done := make(chan struct{})
				var file File
				var read, change error
				go func() {
					defer close(done)
					file, read = h.door.Read(h.Account, keyPath)
					change = h.door.Replace(h.Account, keyPath, file.Version, []byte(good))
				}()
				select {
				case <-done:
				case <-time.After(20 * time.Second):
					t.Fatal("the mount was asked something")
				}
				if file.State != test.state || !errors.Is(change, test.refused) {
					t.Errorf("%v; the change: %v", file.State, change)
				}
				if told := fmt.Sprint(file.Detail, read); !strings.Contains(told, "on a foreign mount") {
					t.Errorf("told: %s", told)
				}
			})
		}
	}
}
