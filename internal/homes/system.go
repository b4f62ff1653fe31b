package homes

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ActiveUIDs finds the uids that processes of this host have, or can take, from /proc, and returns
// what reports whether one is among them: as such a process only can a file
// here be opened for a mapping. A process has four uids, of which a program that is setuid
// gives its caller two; and in a user namespace of its user's it can take those
// that are mapped there (user_namespaces(7)), as a container's does that has
// /etc/subuid's. A map that holds root's uid was made by root.
//
// A process that hides its status (hidepid, proc(5)) counts by the owner of its directory; one
// that hides even that is not seen, nor are threads that have other uids than the first one.
func ActiveUIDs() (func(uid int) bool, error) {
	proc, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer func() { _ = proc.Close() }()
	names, err := proc.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("/proc: %w", err)
	}
	seen := census{ranges: map[idRange]bool{}, maps: map[string]bool{}, buffer: make([]byte, maxProcText)}
	for _, name := range names {
		if _, err := strconv.ParseUint(name, 10, 32); err != nil {
			continue
		}
		err := seen.process("/proc/" + name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !oneOf(err, unix.ESRCH) { // it may have ended meanwhile
			return nil, err
		}
	}
	return among(slices.Collect(maps.Keys(seen.ranges))), nil
}

// maxProcText is more than a status, and than the 340 lines of a uid_map (user_namespaces(7)).
const maxProcText = 16 << 10

// idRange is some uids, the last one included.
type idRange struct{ first, last int }

// among joins ranges, so that who makes many of them costs no more than the sorting, and reports whether a uid is in one.
func among(ranges []idRange) func(uid int) bool {
	slices.SortFunc(ranges, func(a, b idRange) int { return cmp.Compare(a.first, b.first) })
	var joined []idRange
	for _, r := range ranges {
		if n := len(joined); n > 0 && r.first <= joined[n-1].last+1 {
			joined[n-1].last = max(joined[n-1].last, r.last)
			continue
		}
		joined = append(joined, r)
	}
	return func(uid int) bool {
		_, found := slices.BinarySearchFunc(joined, uid, func(r idRange, uid int) int {
			switch {
			case r.last < uid:
				return -1
			case r.first > uid:
				return 1
			}
			return 0
		})
		return found
	}
}

// census is what was seen of the processes so far.
type census struct {
	ranges map[idRange]bool
	maps   map[string]bool // texts of uid_map that were seen: most processes have the same
	buffer []byte
}

// process adds the uids of one process.
func (c *census) process(dir string) error {
	text, err := c.read(dir + "/status")
	if oneOf(err, unix.EACCES, unix.EPERM) {
		var st unix.Stat_t
		if err := unix.Lstat(dir, &st); err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
		c.ranges[idRange{int(st.Uid), int(st.Uid)}] = true
		return nil
	}
	if err != nil {
		return err
	}
	// "Uid:	real effective saved fsuid" (proc_pid_status(5)). The name above it is
	// escaped, so no process can fake the line.
	_, rest, found := strings.Cut(text, "\nUid:")
	line, _, _ := strings.Cut(rest, "\n")
	if !found {
		return fmt.Errorf("%s/status: no Uid line", dir)
	}
	for id := range strings.FieldsSeq(line) {
		uid, err := strconv.Atoi(id)
		if err != nil {
			return fmt.Errorf("%s/status: %w", dir, err)
		}
		c.ranges[idRange{uid, uid}] = true
	}
	return c.namespace(dir)
}

// namespace adds the uids that are mapped where a process is.
func (c *census) namespace(dir string) error {
	text, err := c.read(dir + "/uid_map")
	if oneOf(err, unix.EACCES, unix.EPERM) || c.maps[text] {
		return nil
	}
	if err != nil {
		return err
	}
	c.maps[strings.Clone(text)] = true
	var mapped []idRange
	for line := range strings.Lines(text) {
		var inside, outside, count int
		if _, err := fmt.Sscan(line, &inside, &outside, &count); err != nil {
			return fmt.Errorf("%s/uid_map: %w", dir, err)
		}
		if outside == 0 {
			return nil
		}
		mapped = append(mapped, idRange{outside, outside + count - 1})
	}
	for _, r := range mapped {
		c.ranges[r] = true
	}
	return nil
}

// read is a file of procfs, whole.
func (c *census) read(path string) (string, error) {
	fd, err := openat(unix.AT_FDCWD, path, unix.O_RDONLY, 0)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	defer closeFD(fd)
	done := 0
	for done < len(c.buffer) {
		n, err := unix.Read(fd, c.buffer[done:])
		if err != nil {
			return "", fmt.Errorf("%s: %w", path, err)
		}
		if n == 0 {
			return string(c.buffer[:done]), nil
		}
		done += n
	}
	return "", fmt.Errorf("%s: %w", path, io.ErrShortBuffer)
}
