package homes

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// A disk or a file server that fails for a moment must not cost a user his file:
// it is an error, and the file is read again later. Each runs in its own process.
func TestHiccupIsAnError(t *testing.T) {
	testenv.Need(t, "root")
	const marker = "KEYREEVE_TEST_HICCUP"
	if number, err := strconv.Atoi(os.Getenv(marker)); err == nil {
		h := newSSH(t, good)
		errno := unix.Errno(number)
		h.setUp("refuse reads", number)
		if file, err := h.door.Read(h.Account, keyPath); !errors.Is(err, errno) {
			t.Errorf("state %v (%s), %v", file.State, file.Detail, err)
		}
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, errno := range []unix.Errno{unix.EIO, unix.EAGAIN, unix.ESTALE} {
		child := exec.CommandContext(t.Context(), self, "-test.run=^TestHiccupIsAnError$")
		child.Env = append(os.Environ(), marker+"="+strconv.Itoa(int(errno)))
		if out, err := child.CombinedOutput(); err != nil {
			t.Errorf("%v: %v\n%s", errno, err, out)
		}
	}
}
