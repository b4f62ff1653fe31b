package homes

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// errForeign says that a path leads onto a mount that no file of a user may be
// read from: procfs, whose links and texts are made up per reader, or a FUSE
// file system served by a user's own process, which can hang every reader and
// show each another content.
var errForeign = errors.New("on a foreign mount")

// mounts knows which mounts of this process's namespace are foreign. FUSE file
// systems mounted by root (user_id=0: cluster file systems) are not.
//
// The question is asked by device number and answered from
// /proc/self/mountinfo, for statfs(2) would ask the very process that may hang.
// Device numbers are reused, so the table is read again whenever the kernel says
// that it changed (POLLPRI on mountinfo, proc(5)); a caller holds a descriptor on
// the mount, so its mounting was announced before the question. A number that
// the table does not hold is that of a subvolume (btrfs) or a layer (overlayfs);
// procfs and FUSE always show their own.
type mounts struct {
	mu      sync.Mutex
	file    *os.File
	fd      int32           // of file, for poll(2)
	foreign map[uint64]bool // device numbers
}

func openMounts() (*mounts, error) {
	// Not os.Open: it would add the file to the runtime's epoll, which takes the
	// news of a change away from poll(2).
	const path = "/proc/self/mountinfo"
	fd, err := openat(unix.AT_FDCWD, path, unix.O_RDONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	file := os.NewFile(uintptr(fd), path)
	m := &mounts{file: file, fd: int32(fd)} //nolint:gosec // a descriptor fits
	if err := m.load(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return m, nil
}

func (m *mounts) close() error { return m.file.Close() }

// allowed returns errForeign for the device of a foreign mount.
func (m *mounts) allowed(dev uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	changed := []unix.PollFd{{Fd: m.fd, Events: unix.POLLPRI}}
	if n, err := unix.Poll(changed, 0); err != nil || n > 0 {
		if err := m.load(); err != nil {
			return err
		}
	}
	if m.foreign[dev] {
		return errForeign
	}
	return nil
}

func (m *mounts) load() error {
	if _, err := m.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("mountinfo: %w", err)
	}
	text, err := io.ReadAll(m.file)
	if err != nil {
		return fmt.Errorf("mountinfo: %w", err)
	}
	m.foreign = parseMounts(text)
	return nil
}

// parseMounts reads mountinfo (proc(5), /proc/pid/mountinfo): the third field is
// the device; type, source and super options follow the "-".
func parseMounts(text []byte) map[uint64]bool {
	foreign := map[uint64]bool{}
	for line := range bytes.Lines(text) {
		front, back, found := strings.Cut(string(line), " - ")
		left, right := strings.Fields(front), strings.Fields(back)
		if !found || len(left) < 3 || len(right) < 3 || !foreignType(right[0], right[2]) {
			continue
		}
		first, second, _ := strings.Cut(left[2], ":")
		major, err := strconv.ParseUint(first, 10, 32)
		if err != nil {
			continue
		}
		minor, err := strconv.ParseUint(second, 10, 32)
		if err != nil {
			continue
		}
		foreign[unix.Mkdev(uint32(major), uint32(minor))] = true
	}
	return foreign
}

func foreignType(fstype, options string) bool {
	if fstype == "proc" {
		return true
	}
	if fstype != "fuse" && fstype != "fuseblk" && !strings.HasPrefix(fstype, "fuse.") && !strings.HasPrefix(fstype, "fuseblk.") {
		return false
	}
	for option := range strings.SplitSeq(options, ",") {
		if owner, found := strings.CutPrefix(option, "user_id="); found {
			return owner != "0"
		}
	}
	return true
}

// device is the device number of a descriptor. AT_STATX_DONT_SYNC: no file
// server is asked.
func device(fd int) (uint64, error) {
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_TYPE, &st); err != nil {
		return 0, err
	}
	return unix.Mkdev(st.Dev_major, st.Dev_minor), nil
}
