package homes

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ActiveUIDs returns the real uids of the processes of this host, from /proc: only
// they can hold a descriptor, a mapping or a loop on a file here. A process that
// hides its status (hidepid, proc(5)) counts by the owner of its directory; one
// that hides even that is not seen.
func ActiveUIDs() (map[int]bool, error) {
	proc, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer func() { _ = proc.Close() }()
	names, err := proc.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("/proc: %w", err)
	}
	active := map[int]bool{}
	for _, name := range names {
		if _, err := strconv.ParseUint(name, 10, 32); err != nil {
			continue
		}
		uid, err := realUID("/proc/" + name)
		switch {
		case err == nil:
			active[uid] = true
		case errors.Is(err, fs.ErrNotExist), oneOf(err, unix.ESRCH):
			// it ended meanwhile
		default:
			return nil, err
		}
	}
	return active, nil
}

func realUID(dir string) (int, error) {
	text, err := readStatus(dir + "/status")
	if oneOf(err, unix.EACCES, unix.EPERM) {
		var st unix.Stat_t
		if err := unix.Lstat(dir, &st); err != nil {
			return 0, fmt.Errorf("%s: %w", dir, err)
		}
		return int(st.Uid), nil
	}
	if err != nil {
		return 0, err
	}
	// "Uid:	real effective saved fsuid" (proc_pid_status(5)). The name above it is
	// escaped, so no process can fake the line.
	for line := range strings.Lines(text) {
		if rest, found := strings.CutPrefix(line, "Uid:"); found {
			if ids := strings.Fields(rest); len(ids) > 0 {
				return strconv.Atoi(ids[0])
			}
		}
	}
	return 0, fmt.Errorf("%s/status: no Uid line", dir)
}

func readStatus(path string) (string, error) {
	file, err := os.Open(path) //nolint:gosec // the caller names a file of procfs
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(io.LimitReader(file, 4096))
	return string(text), err
}
