package homes

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Unveil runs fn with the user's rights while he may read a directory of his, a
// right that he has taken from himself: inotify_add_watch(2) asks for it, a look-up
// by sshd does not, and a watch that is set stays. The mode is put back at once,
// unless somebody has changed it meanwhile; a crash leaves the right to read with
// the owner. path is that of a Dir. The error is fn's, ErrRefused for what is no
// directory of his that lacks that right, ErrStuck when a lock is not given back, or what the file system said. fn may go on, or begin, after ErrStuck.
func (d *Door) Unveil(a Account, path string, fn func() error) error {
	return d.Attend(a, func() error {
		dir, err := d.walk(none(), path, 0, nil)
		if err != nil {
			return fmt.Errorf("unveil: %w", err)
		}
		defer dir.close()
		mode := dir.perm()
		if !dir.is(unix.S_IFDIR) || dir.uid != uint32(a.UID) || mode&0o400 != 0 { //nolint:gosec // checked by As
			return fmt.Errorf("unveil: %w: it is %s of uid %d, mode %04o", ErrRefused, dir.kind(), dir.uid, mode)
		}
		if err := chmodFD(dir.fd, mode|0o400); err != nil {
			return fmt.Errorf("unveil: chmod: %w", err)
		}
		defer func() {
			// chmod(2) may have dropped a setgid bit, so that is not compared. Best
			// effort: the directory is the user's, who may read it then.
			if now, err := stat(dir.fd); err == nil && now.perm()&0o777 == (mode|0o400)&0o777 {
				_ = chmodFD(dir.fd, mode)
			}
		}()
		return fn()
	})
}
