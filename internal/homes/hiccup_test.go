package homes

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// A disk or a file server that fails for a moment must not cost a user his file:
// it is an error, and the file is read again later. Each runs in its own process.
func TestHiccupIsAnError(t *testing.T) {
	number, child := alone(t, int(unix.EIO), int(unix.EAGAIN), int(unix.ESTALE))
	if !child {
		return
	}
	h := newSSH(t, good)
	h.setUp("refuse reads", number)
	if file, err := h.door.Read(h.Account, keyPath); !errors.Is(err, unix.Errno(number)) {
		t.Errorf("state %v (%s), %v", file.State, file.Detail, err)
	}
}
