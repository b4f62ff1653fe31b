package homes

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// The bounds of a Sift, of one account, whose directories are his to fill. Nobody's .ssh comes near to them.
const (
	siftDepth = 3        // directories below one another
	siftNames = 1024     // in one directory
	siftFiles = 256      // that are opened, in all directories together
	siftHead  = 64 << 10 // bytes of each
	siftBlind = 16       // things that are told to be unknown, each by its name
	// siftTime is how long one directory may take, with what is below it. One call that takes longer is given up as any other is (attend).
	siftTime = 2 * time.Second
)

// Sifted is what Sift found.
type Sifted[T any] struct {
	Files []Judged[T]
	// Blind is what could not be looked at, so that nobody takes it for empty.
	Blind []Blind
}

// Judged is a file of which the judge knew something.
type Judged[T any] struct {
	Path string // relative to the home, or outside of it absolute
	Mode uint32 // permission bits
	UID  uint32
	What T
}

// Blind is a file or directory of which nothing is known, and why.
type Blind struct{ Path, Why string }

// Sift shows the judge the first 64 KiB of each regular file in directories of an account's home, and of those below them, and keeps what it says of them. It
// looks with the user's rights, opens nothing but regular files, waits for none of them, follows no link out of the home but one in the place of a directory
// that is given, as Read does, and passes no mount of a user's. What it shows is wiped afterwards: the judge keeps nothing of it, begins no goroutine,
// and writes nothing that others read, since a call that hangs is left behind. dirs are relative to the home. What is not there, also the home, is nothing.
func Sift[T any](d *Door, a Account, dirs []string, judge func(head []byte) (T, bool)) Sifted[T] {
	var all Sifted[T]
	left := siftFiles
	for _, dir := range dirs {
		files := left
		s, err := a.spot(dir + "/*")
		var part sifter[T]
		if err == nil {
			part, err = glance(d, a, s.String(), peeking, func(e *effort) (sifter[T], error) {
				part := sifter[T]{door: d, judge: judge, effort: e, until: time.Now().Add(siftTime), files: files, given: dir}
				return part, part.start(a, s)
			})
		}
		switch {
		case err == nil:
			left = part.files
		case !errors.Is(err, ErrNoHome):
			part.blind(dir, err.Error())
		}
		all.Files = append(all.Files, part.found.Files...)
		all.Blind = append(all.Blind, part.told()...)
	}
	return all
}

// sifter is at work in one directory that was given.
type sifter[T any] struct {
	door   *Door
	judge  func(head []byte) (T, bool)
	effort *effort
	until  time.Time
	given  string // the directory, relative to the home
	root   string // the home, and its directory
	home   handle
	uid    uint32
	via    bool // the directory is behind a link
	files  int  // that may yet be opened
	found  Sifted[T]
	more   int // that are blind, beside those that are told
	first  string
}

// blind notes something of which nothing is known.
func (s *sifter[T]) blind(name, why string) {
	if len(s.found.Blind) == siftBlind {
		s.more++
		s.first = cmp.Or(s.first, name)
		return
	}
	s.found.Blind = append(s.found.Blind, Blind{name, why})
}

// told is all that is blind.
func (s *sifter[T]) told() []Blind {
	if s.more == 0 {
		return s.found.Blind
	}
	return append(s.found.Blind, Blind{s.first, fmt.Sprintf("it, and %d more, could not be looked at", s.more-1)})
}

func (s *sifter[T]) start(a Account, at spot) error {
	s.uid, s.root = uint32(a.UID), a.Home //nolint:gosec // checked by Account.Check
	p, err := s.door.locate(a, at, s.uid, s.effort)
	if err != nil {
		return err
	}
	defer p.close()
	s.home, s.via = p.above[0], p.via
	switch {
	case p.shut:
		s.blind(s.given, "a directory of his own above it may not be searched")
	case p.bad != "":
		s.blind(s.given, p.bad)
	case p.dir.fd >= 0:
		s.dir(p.dir, s.given, 1)
	}
	return nil
}

// over reports that there is no more time, or nobody waits.
func (s *sifter[T]) over() bool { return s.effort.left.Load() || time.Now().After(s.until) }

// dir looks at what is in a directory, in the order of the names.
func (s *sifter[T]) dir(dir handle, where string, depth int) {
	fd, err := reopen(dir.fd, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		s.blind(where, err.Error())
		return
	}
	defer closeFD(fd)
	var names []string
	err = eachName(fd, siftNames, func(name string) error {
		names = append(names, name)
		return nil
	})
	switch {
	case errors.Is(err, errMany):
		s.blind(where, fmt.Sprintf("more than %d names: the others were not looked at", siftNames))
	case err != nil:
		s.blind(where, err.Error())
	}
	slices.Sort(names)
	for i, name := range names {
		if s.over() {
			s.blind(where, fmt.Sprintf("it took too long: of its names %d were looked at", i))
			return
		}
		if !s.name(dir, where, name, depth) {
			return
		}
	}
}

// name looks at what has a name, and reports whether to go on in the directory.
func (s *sifter[T]) name(dir handle, where, name string, depth int) bool {
	at, err := s.door.step(dir, name)
	where, above := path.Join(where, name), where
	switch {
	case errors.Is(err, unix.ENOENT):
		return true
	case errors.Is(err, unix.EACCES):
		s.blind(above, "it may not be searched")
		return false
	case err != nil:
		s.blind(where, err.Error())
		return true
	}
	defer at.close()
	switch {
	case at.is(unix.S_IFLNK):
		s.link(at, where)
	case at.is(unix.S_IFDIR) && depth == siftDepth:
		s.blind(where, fmt.Sprintf("deeper than %d directories", siftDepth))
	case at.is(unix.S_IFDIR):
		s.dir(at, where, depth+1)
	case at.is(unix.S_IFREG) && at.size > 0:
		s.open(at, where)
	}
	return true
}

// open is file, as long as there may be one more.
func (s *sifter[T]) open(at handle, where string) {
	if s.files == 0 {
		s.blind(where, fmt.Sprintf("not looked at: more than %d files", siftFiles))
		return
	}
	s.files--
	s.file(at, where)
}

// file shows the beginning of a regular file to the judge, once two looks at it agree.
func (s *sifter[T]) file(at handle, where string) {
	fd, err := reopen(at.fd, unix.O_RDONLY)
	if err != nil {
		s.blind(where, err.Error()) // a lease among others: EAGAIN
		return
	}
	defer closeFD(fd)
	for range readTries {
		before, err := stat(fd)
		if err != nil {
			s.blind(where, err.Error())
			return
		}
		head, err := pread(fd, int(min(before.size, siftHead)))
		if err != nil {
			clear(head)
			s.blind(where, err.Error())
			return
		}
		after, err := stat(fd)
		if err == nil && before == after && uint64(len(head)) == min(after.size, siftHead) {
			if what, is := s.judge(head); is {
				s.found.Files = append(s.found.Files, Judged[T]{where, after.perm(), after.uid, what})
			}
			clear(head)
			return
		}
		clear(head)
	}
	s.blind(where, "it does not keep still")
}
