package homes

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// Others may mount something meanwhile; what is waited for comes all the same.
func TestMounted(t *testing.T) {
	testenv.Need(t, "root", "mount")
	base := t.TempDir()
	point, other := filepath.Join(base, "a place"), filepath.Join(base, "other")
	for _, dir := range []string{point, other} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		_ = unix.Unmount(point, unix.MNT_DETACH)
		_ = unix.Unmount(other, unix.MNT_DETACH)
	})
	ctx, cancel := context.WithCancel(t.Context())
	told, ended := make(chan string), make(chan error)
	go func() {
		ended <- Mounted(ctx, func(points []string) {
			for _, point := range points {
				select {
				case told <- point:
				case <-ctx.Done():
				}
			}
		})
	}()
	// Whether Mounted has begun is not to be seen: a mount comes and goes until it tells of that.
	for n, begun := 0, false; !begun || n%2 == 1; n++ {
		err := unix.Unmount(other, unix.MNT_DETACH)
		if n%2 == 0 {
			err = unix.Mount(base, other, "", unix.MS_BIND, "")
		}
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-told:
			begun = true
		case <-time.After(50 * time.Millisecond):
		}
	}
	for _, step := range []struct {
		title  string
		do     func() error
		points []string
	}{
		{"mount", func() error { return unix.Mount(base, point, "", unix.MS_BIND, "") }, []string{point}},
		{"a second one", func() error { return unix.Mount("none", point, "tmpfs", 0, "size=1m") }, []string{point}},
		{"move", func() error { return unix.Mount(point, other, "", unix.MS_MOVE, "") }, []string{point, other}},
		{"unmount", func() error { return unix.Unmount(point, 0) }, []string{point}},
		{"unmount the other", func() error { return unix.Unmount(other, unix.MNT_DETACH) }, []string{other}},
	} {
		if err := step.do(); err != nil {
			t.Fatal(step.title, err)
		}
		missing := map[string]bool{}
		for _, point := range step.points {
			missing[point] = true
		}
		for len(missing) > 0 {
			select {
			case point := <-told:
				delete(missing, point)
			case <-time.After(20 * time.Second):
				t.Fatalf("%s: nothing was told of %v", step.title, missing)
			}
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
