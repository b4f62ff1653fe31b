package watch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// mask is every change of a directory, of a name in it, and of a file under such a
// name. IN_CLOSE_WRITE is what tells of a store through a mapping and of an exchange
// of contents (XFS_IOC_SWAPEXT), which are no IN_MODIFY: it comes when the last
// reference to an open file goes (__fput in fs/file_table.c), and a mapping holds one.
const mask = unix.IN_CREATE | unix.IN_MODIFY | unix.IN_CLOSE_WRITE | unix.IN_ATTRIB | unix.IN_MOVED_FROM | unix.IN_MOVED_TO |
	unix.IN_DELETE | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR

// ask gives the watch descriptor of a directory, old or new. The magic link leads
// to the open directory without a look-up in it or above it (proc_pid_fd(5)); the
// kernel checks the right to read with this thread's fsuid, and takes no i_rwsem.
func (w *Watcher) ask(fd int) (wd int, err error) {
	closed := w.conn.Control(func(notify uintptr) {
		wd, err = unix.InotifyAddWatch(int(notify), "/proc/self/fd/"+strconv.Itoa(fd), mask)
	})
	return wd, errors.Join(closed, err)
}

// remove ends a watch in the kernel, outside of the lock, since the last reference
// to a directory may go with it. Whoever got the same watch in the meantime gets a
// hint by its IN_IGNORED. One that is gone already (EINVAL) is what was asked for;
// its number is given to no other for the next 2^31 (idr_alloc_cyclic in
// fs/notify/inotify/inotify_user.c).
func (w *Watcher) remove(wd int) {
	_ = w.conn.Control(func(notify uintptr) {
		_, _ = unix.InotifyRmWatch(int(notify), uint32(wd)) //nolint:gosec // the kernel's own number
	})
}

// inodeOf looks at a descriptor.
func inodeOf(fd int) (inode, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return inode{}, fmt.Errorf("stat: %w", err)
	}
	return inode{dev: st.Dev, ino: st.Ino}, nil
}

// receive takes events as they come and waits for no reader of hints.
func (w *Watcher) receive() {
	buffer := make([]byte, 64<<10)
	for {
		n, err := w.file.Read(buffer)
		if err != nil {
			if !errors.Is(err, os.ErrClosed) {
				w.queue.lost() // inotify(7) knows no such error
			}
			return
		}
		w.sort(buffer[:n])
	}
}

// sort finds out whom events concern. They are struct inotify_event: wd, mask,
// cookie, len, and a name with NULs up to len; none for the directory itself.
func (w *Watcher) sort(events []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(events) >= unix.SizeofInotifyEvent {
		wd := int(int32(binary.NativeEndian.Uint32(events))) //nolint:gosec // it is one
		what := binary.NativeEndian.Uint32(events[4:])
		end := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(events[12:]))
		name, _, _ := bytes.Cut(events[unix.SizeofInotifyEvent:end], []byte{0})
		events = events[end:]
		if what&unix.IN_Q_OVERFLOW != 0 {
			w.queue.lost()
		}
		if d := w.dirs[wd]; d != nil { // else its last user has left
			w.tell(d, string(name), what)
		}
	}
}

// tell adds the hints of one event. One without a name is of the directory itself:
// its mode, a move, its end.
func (w *Watcher) tell(d *dir, name string, what uint32) {
	for user, share := range d.shares {
		if name == "" || share.wants(name) {
			w.queue.add(user)
		}
	}
	if what&unix.IN_IGNORED != 0 {
		w.forget(d) // the kernel has ended the watch
	}
}
