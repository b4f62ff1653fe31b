package homes

import (
	"errors"
	"os"
	"testing"
	"time"
)

// A program of the user's writes the file again and again, until it hits the moment between the last look and the exchange. Whatever it
// wrote is then told, beside the new file.
func TestDisplacedIsTold(t *testing.T) {
	h := newSSH(t, bad)
	door := h.inside()
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- h.user(func() error {
			for {
				select {
				case <-stop:
					return nil
				default:
				}
				if err := errors.Join(os.WriteFile(h.path("new"), []byte(bad), 0o600), os.Rename(h.path("new"), h.keys())); err != nil {
					return err
				}
			}
		})
	}()
	var late *Displaced
	for begun := time.Now(); late == nil && time.Since(begun) < time.Minute; {
		file, err := door.Read(h.Account, keyPath)
		if err != nil {
			t.Errorf("Read: %v", err)
			break
		}
		err = door.Replace(h.Account, keyPath, file.Version, []byte(good))
		if err != nil && !errors.Is(err, ErrChanged) {
			t.Errorf("Replace: %v", err)
		}
		late, _ = errors.AsType[*Displaced](err)
	}
	close(stop)
	h.must(<-done)
	if late == nil {
		t.Fatal("nothing was displaced")
	}
	if string(late.Data) != bad || h.content(h.path(".ssh", late.Name)) != bad || late.Version.Stamp().Inode == 0 {
		t.Errorf("told is %+v", late)
	}
}
