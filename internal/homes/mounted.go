package homes

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// mountsPause is the least time between two readings of the table of mounts for
// Mounted, and they take a tenth of the time at most: a user may mount and unmount
// in a loop, and a host of autofs has a mount for each home.
const mountsPause = 100 * time.Millisecond

// Mounted calls tell with the mount points at which a mount came or went, until ctx
// ends. No directory tells of that: what is below a mount of the user's own is in
// force when it goes, without any event. Mounts are those of this process's namespace; what came
// and went between two readings is not told. An error: nothing more will be.
func Mounted(ctx context.Context, tell func(points []string)) error {
	table, err := openMounts()
	if err != nil {
		return err
	}
	defer func() { _ = table.close() }()
	end, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("eventfd: %w", err)
	}
	alarm := os.NewFile(uintptr(end), "eventfd")
	defer func() { _ = alarm.Close() }()
	defer context.AfterFunc(ctx, func() { _, _ = alarm.Write([]byte{1, 0, 0, 0, 0, 0, 0, 1}) })()
	known, err := table.points()
	for err == nil {
		if err = awaitChange(table.fd, int32(end)); err != nil || ctx.Err() != nil { //nolint:gosec // a descriptor fits
			break
		}
		began := time.Now()
		var now map[string]bool
		if now, err = table.points(); err != nil {
			break
		}
		if changed := differing(known, now); len(changed) > 0 {
			tell(changed)
		}
		known = now
		select {
		case <-ctx.Done():
		case <-time.After(max(mountsPause, 9*time.Since(began))):
		}
	}
	return err
}

// awaitChange waits until the table of mounts changes (POLLPRI on mountinfo, proc(5)), or for the end.
func awaitChange(table, end int32) error {
	list := []unix.PollFd{{Fd: table, Events: unix.POLLPRI}, {Fd: end, Events: unix.POLLIN}}
	return retry(func() error {
		_, err := unix.Poll(list, -1)
		return err
	})
}

// points reads the mounts: the id, the device and the mount point of each, with
// blanks between them. An id is used again, but seldom for what looks the same.
func (m *mounts) points() (map[string]bool, error) {
	text, err := m.text()
	if err != nil {
		return nil, err
	}
	list := make(map[string]bool)
	for line := range bytes.Lines(text) {
		if fields := strings.SplitN(string(line), " ", 6); len(fields) == 6 {
			list[fields[0]+" "+fields[2]+" "+fields[4]] = true
		}
	}
	return list, nil
}

// differing lists the mount points of mounts that are in one of two lists only.
func differing(before, now map[string]bool) []string {
	points := make(map[string]bool)
	note := func(list, other map[string]bool) {
		for mount := range list {
			if !other[mount] {
				points[mountPoint(mount[strings.LastIndexByte(mount, ' ')+1:])] = true
			}
		}
	}
	note(before, now)
	note(now, before)
	return slices.Collect(maps.Keys(points))
}
