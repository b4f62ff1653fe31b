package homes

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLinks is the kernel's own bound of links in one path (path_resolution(7)).
// maxSteps bounds the names that are looked up for one: forty links of the longest
// text would make it fifty thousand at each look.
const (
	maxLinks = 40
	maxSteps = 4096
)

// errLink says that a path leads through a link of somebody who has no say.
var errLink = errors.New("through a link of a stranger")

// handle is an O_PATH descriptor and what stat(2) told of it when it was taken.
type handle struct {
	fd int
	node
}

func none() handle { return handle{fd: -1} }

func (h handle) close() { closeFD(h.fd) }

// step opens one name in a directory, following nothing, and refuses foreign
// mounts before it asks them anything. O_DIRECTORY first: without it the kernel
// would not trigger an automount.
func (d *Door) step(dir handle, name string) (handle, error) {
	fd, err := openat(dir.fd, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_DIRECTORY, 0)
	if oneOf(err, unix.ENOTDIR, unix.ELOOP) {
		fd, err = openat(dir.fd, name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	}
	if err != nil {
		return none(), err
	}
	found := handle{fd: fd}
	dev, err := device(fd)
	if err == nil && dev != dir.dev {
		err = d.mounts.allowed(dev)
	}
	if err == nil {
		found.node, err = stat(fd)
	}
	if err != nil {
		found.close()
		return none(), err
	}
	return found, nil
}

// root opens "/".
func (d *Door) root() (handle, error) {
	fd, err := openat(unix.AT_FDCWD, "/", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return none(), err
	}
	n, err := stat(fd)
	if err != nil {
		closeFD(fd)
		return none(), err
	}
	return handle{fd: fd, node: n}, nil
}

// again is a second descriptor of the same directory.
func (h handle) again() (handle, error) {
	fd, err := unix.FcntlInt(uintptr(h.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return none(), err
	}
	return handle{fd: fd, node: h.node}, nil
}

// walk follows a path from a directory, name by name, to whatever is there. Links
// are read and followed by hand, so a magic link of procfs is only a text, and
// only links owned by root or by owner are followed (owner 0: root's only). way,
// unless nil, notes the directories that names were looked up in.
func (d *Door) walk(from handle, path string, owner uint32, way *trail) (handle, error) {
	at, err := d.start(from, path)
	links, steps := 0, 0
	for todo := elements(path); err == nil && len(todo) > 0; {
		if way.arrived(at) {
			way.rest = todo
			break
		}
		if steps++; steps > maxSteps {
			err = unix.ELOOP
			break
		}
		if err = way.pass(at, todo[0]); err != nil {
			break
		}
		var next handle
		if next, err = d.step(at, todo[0]); err != nil {
			way.miss(at, todo[0])
			break
		}
		todo = todo[1:]
		if !next.is(unix.S_IFLNK) {
			at.close()
			at = next
			continue
		}
		var target string
		target, err = next.target(owner)
		next.close()
		if links++; err == nil && links > maxLinks {
			err = unix.ELOOP
		}
		if err != nil {
			break
		}
		todo = slices.Concat(elements(target), todo)
		if next, err = d.start(at, target); err == nil {
			at.close()
			at = next
		}
	}
	if err != nil {
		at.close()
		return none(), err
	}
	return at, nil
}

// start is the directory a path begins in: "/" or the given one.
func (d *Door) start(from handle, path string) (handle, error) {
	if strings.HasPrefix(path, "/") {
		return d.root()
	}
	return from.again()
}

// elements splits a path, without the empty names and the dots that mean
// nothing. ".." stays: the kernel takes it from the real directory.
func elements(path string) []string {
	return slices.DeleteFunc(strings.Split(path, "/"), func(name string) bool {
		return name == "" || name == "."
	})
}

// target reads a link that root or owner made.
func (h handle) target(owner uint32) (string, error) {
	if h.uid != 0 && h.uid != owner {
		return "", errLink
	}
	buffer := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(h.fd, "", buffer)
	if err != nil {
		return "", fmt.Errorf("readlink: %w", err)
	}
	if n == 0 || n == len(buffer) {
		return "", unix.ENAMETOOLONG
	}
	return string(buffer[:n]), nil
}

// realPath is where a descriptor stands in the tree now.
func (h handle) realPath() (string, error) {
	buffer := make([]byte, 2*unix.PathMax)
	n, err := unix.Readlink(procPath(h.fd), buffer)
	if err != nil {
		return "", fmt.Errorf("readlink of a descriptor: %w", err)
	}
	path := string(buffer[:n])
	if n == len(buffer) || !strings.HasPrefix(path, "/") {
		return "", errors.New("directory has no path here")
	}
	return path, nil
}
