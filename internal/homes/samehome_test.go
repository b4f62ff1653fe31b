package homes

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

func TestSameHome(t *testing.T) {
	testenv.Need(t, "root", "mount")
	h := newSSH(t, good)
	for _, dir := range []string{"own", "bound"} {
		h.mkdir(h.base+"/"+dir, 0o755, testUID)
	}
	h.mkdir(h.base+"/shut", 0o700, 0)
	h.mkdir(h.base+"/shut/home", 0o755, testUID)
	h.link("alice", h.base+"/link", 0)
	h.link("alice", h.base+"/his", testUID)
	h.link("nowhere", h.base+"/dangling", 0)
	// The user's own files and .ssh are no home.
	h.link("../alice/.ssh", h.base+"/own/.ssh", testUID)
	h.must(unix.Mount(h.Home, h.base+"/bound", "", unix.MS_BIND, ""))
	t.Cleanup(func() { h.must(unix.Unmount(h.base+"/bound", unix.MNT_DETACH)) })
	for path, want := range map[string]struct {
		same bool
		err  error
	}{
		"alice": {same: true}, "link": {same: true}, "bound": {same: true},
		"own": {}, "gone": {}, "dangling": {},
		"his": {err: ErrRefused}, "shut/home": {err: ErrRefused}, "alice/.ssh/" + name: {err: ErrRefused},
	} {
		twin := Account{Name: "twin", UID: testUID, GID: testUID, Home: h.base + "/" + path}
		for _, pair := range [][2]Account{{h.Account, twin}, {twin, h.Account}} {
			if same, err := h.door.SameHome(pair[0], pair[1]); same != want.same || !errors.Is(err, want.err) {
				t.Errorf("%s and %s: %v, %v", pair[0].Home, pair[1].Home, same, err)
			}
		}
	}
	h.must(os.Rename(h.Home, h.base+"/away"))
	gone := Account{Name: "twin", UID: testUID, GID: testUID, Home: h.base + "/link"}
	if same, err := h.door.SameHome(h.Account, gone); same || err != nil {
		t.Errorf("two homes that are not there: %v, %v", same, err)
	}
}
