package homes

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
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
	// servers says who serves what is mounted at a path: see serverOf.
	servers map[string]string
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
	if err := m.refresh(); err != nil {
		return err
	}
	if m.foreign[dev] {
		return errForeign
	}
	return nil
}

// server says who serves a path, by the longest mount point above it. No file
// system is asked, so a link on the path is not seen.
func (m *mounts) server(path string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	_ = m.refresh() // what is known from before will do
	return m.find(path)
}

func (m *mounts) find(path string) string {
	for ; path != "/" && path != "."; path = filepath.Dir(path) {
		if server, found := m.servers[path]; found {
			return server
		}
	}
	return m.servers["/"]
}

// Served reads mountinfo and says of a path what it is on, without a question to that: the type of the file system, then its server or
// device.
func Served(mountinfo []byte) func(path string) string {
	_, servers := parseMounts(mountinfo)
	return (&mounts{servers: servers}).find
}

// refresh reads the table again if it changed.
func (m *mounts) refresh() error {
	changed := []unix.PollFd{{Fd: m.fd, Events: unix.POLLPRI}}
	if n, err := unix.Poll(changed, 0); err != nil || n > 0 {
		return m.load()
	}
	return nil
}

func (m *mounts) load() error {
	text, err := m.text()
	if err == nil {
		m.foreign, m.servers = parseMounts(text)
	}
	return err
}

// text reads the table.
func (m *mounts) text() ([]byte, error) {
	_, err := m.file.Seek(0, io.SeekStart)
	var text []byte
	if err == nil {
		text, err = io.ReadAll(m.file)
	}
	if err != nil {
		return nil, fmt.Errorf("mountinfo: %w", err)
	}
	return text, nil
}

// parseMounts reads mountinfo (proc(5), /proc/pid/mountinfo): the third field is
// the device, the fifth the mount point; type, source and super options follow the
// "-". Of several mounts at one point the last one is on top. One blank ends a field: a source,
// which is its user's to choose, may be empty, and hold other white space (mangle escapes four bytes).
func parseMounts(text []byte) (foreign map[uint64]bool, servers map[string]string) {
	foreign, servers = map[uint64]bool{}, map[string]string{}
	for line := range bytes.Lines(text) {
		front, back, found := strings.Cut(strings.TrimSuffix(string(line), "\n"), " - ")
		left, right := strings.Split(front, " "), strings.Split(back, " ")
		if !found || len(left) < 5 || len(right) < 3 {
			continue
		}
		servers[mountPoint(left[4])] = serverOf(left[2], right[0], right[1])
		if !foreignType(right[0], right[2]) {
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
	return foreign, servers
}

// mountPoint undoes the escapes of blanks and the like (mangle in fs/seq_file.c).
func mountPoint(text string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(text)
}

// serverOf names what hangs together: an NFS server with all that it exports, each
// home of which autofs may have mounted on its own; else a device.
func serverOf(device, fstype, source string) string {
	if fstype == "nfs" || fstype == "nfs4" {
		if i := strings.LastIndex(source, ":/"); i > 0 {
			return "nfs " + source[:i]
		}
	}
	return fstype + " " + device
}

// Local reports that a server is a disk of this host's (Door.Server). Homes on one do not go silent together, but for a disk that is
// broken; so many of them that are silent are somebody's doing.
func Local(server string) bool {
	kind, _, _ := strings.Cut(server, " ")
	return slices.Contains([]string{"btrfs", "ext4", "xfs"}, kind)
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
// server is asked. Nothing else is: a FUSE file system that is its user's alone
// tells this thread, whose real uid is root's, no more (fuse_getattr in fs/fuse/dir.c).
func device(fd int) (uint64, error) {
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, 0, &st); err != nil {
		return 0, err
	}
	return unix.Mkdev(st.Dev_major, st.Dev_minor), nil
}
