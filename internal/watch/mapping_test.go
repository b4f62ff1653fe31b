package watch

import (
	"os"
	"os/exec"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// A store through a mapping is no IN_MODIFY; the end of what it was made through tells.
func TestEndOfAMappingIsAHint(t *testing.T) {
	s := newSite(t)
	s.user("alice")
	s.touch("alice", ".ssh", "k")
	file, err := os.OpenFile(s.path("alice", ".ssh", "k"), os.O_RDWR, 0)
	s.must(err)
	page, err := unix.Mmap(int(file.Fd()), 0, 1, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	s.must(err)
	s.must(file.Close())
	page[0] = 'y'
	s.settle()
	page[0] = 'z'
	s.quiet("alice") // else there would be nothing to show
	s.must(unix.Munmap(page))
	s.wait("alice")
}

// Whoever may write to two files of one size can exchange what they hold, which is no IN_MODIFY either.
func TestExchangeOfContentsIsAHint(t *testing.T) {
	testenv.Need(t, "root", "mount", "xfs")
	s := newSite(t)
	s.mountXFS()
	s.user("alice")
	file, other := s.path("alice", ".ssh", "k"), s.path("alice", "other")
	s.must(os.WriteFile(file, []byte("good\n"), 0o600))
	s.must(os.WriteFile(other, []byte("evil\n"), 0o600))
	unix.Sync() // what has no place on the disk yet cannot be exchanged
	s.settle()
	s.must(exchange(file, other))
	if text, err := os.ReadFile(file); err != nil || string(text) != "evil\n" {
		t.Fatalf("it was no exchange: %q, %v", text, err)
	}
	s.wait("alice")
}

// mountXFS puts the site on an XFS of its own.
func (s *site) mountXFS() {
	s.Helper()
	image, disk := s.path("image"), s.mkdir("disk")
	s.touch("image")
	s.must(os.Truncate(image, 300<<20))
	for _, line := range [][]string{{"mkfs.xfs", "-q", image}, {"mount", "-o", "loop", image, disk}} {
		program, err := testenv.Program(line[0])
		s.must(err)
		if out, err := exec.CommandContext(s.Context(), program, line[1:]...).CombinedOutput(); err != nil {
			s.Fatalf("%s: %v\n%s", program, err, out)
		}
	}
	s.Cleanup(func() { s.must(unix.Unmount(disk, 0)) })
	s.base = disk
}

// exchange is XFS_IOC_SWAPEXT with a struct xfs_swapext, in which a struct xfs_bstat says what the caller has seen (fs/xfs/libxfs/xfs_fs.h).
func exchange(path, with string) error {
	target, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { _ = target.Close() }()
	other, err := os.OpenFile(with, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { _ = other.Close() }()
	var st unix.Stat_t
	if err := unix.Fstat(int(target.Fd()), &st); err != nil {
		return err
	}
	type moment struct {
		Sec  int64
		Nsec int32
		_    int32
	}
	call := struct {
		Version, Target, Other, Offset, Length int64
		_                                      [16]byte
		Ino                                    uint64
		_                                      [24]byte // mode, links, owner, device and block size are not compared
		Size                                   int64
		ATime, MTime, CTime                    moment
		_                                      [48]byte
	}{
		Target: int64(target.Fd()), Other: int64(other.Fd()), Length: st.Size, Ino: st.Ino, Size: st.Size,
		MTime: moment{Sec: st.Mtim.Sec, Nsec: int32(st.Mtim.Nsec)}, CTime: moment{Sec: st.Ctim.Sec, Nsec: int32(st.Ctim.Nsec)},
	}
	number := 3<<30 | unsafe.Sizeof(call)<<16 | 'X'<<8 | 109
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, target.Fd(), number, uintptr(unsafe.Pointer(&call))); errno != 0 {
		return errno
	}
	return nil
}
