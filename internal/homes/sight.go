package homes

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Sight is a key file as sshd meets it, which follows links: for whoever wants to know why a key logs in or does not. What is to be done about a
// file is found out by Read, which does not.
type Sight struct {
	// State is Missing, Regular, Oversize, Unreadable or Irregular; Detail says why.
	State  State
	Detail string
	// NoHome: it is missing, and so is the home.
	NoHome bool
	// Blind: sshd goes on where this package does not, behind a link of a stranger's, or on a mount of a user's own. What it finds there is not known.
	Blind bool
	// Barrier is the directory or file whose owner or mode keeps the user out, where one does.
	Barrier Level
	// Path is where the file is, without links. Levels are the file, then each directory above it up to the home, or to "/" where it is not
	// below the home: those whose owners and modes StrictModes asks for (safe_path in OpenSSH's misc.c).
	Path   string
	Levels []Level
	// Data is all of it when Regular, the first MaxSize bytes when Oversize.
	Data []byte
}

// Level is a file or directory on the way to a key file.
type Level struct {
	Path     string
	UID, GID int
	Mode     uint32 // the permissions
}

// Sight looks at a key file as sshd would, with the user's rights and the groups that sshd gives him (temporarily_use_uid), and changes nothing. It
// waits for no FIFO, device or lease. Errors are those of Read.
func (d *Door) Sight(a Account, file string) (Sight, error) {
	var seen Sight
	err := errors.Join(a.Check(), checkFile(file))
	if err == nil {
		seen, err = glance(d, a, file, peeking, func(e *effort) (Sight, error) {
			e.begin()
			return d.sight(a, file)
		})
	}
	if err != nil {
		return Sight{}, fmt.Errorf("account %s: %w", a.Name, err)
	}
	return seen, nil
}

func (d *Door) sight(a Account, file string) (Sight, error) {
	uid := uint32(a.UID) //nolint:gosec // checked by Account.Check
	if !path.IsAbs(file) {
		file = path.Join(a.Home, file)
	}
	at, err := d.walk(none(), file, uid, nil)
	switch {
	case errors.Is(err, unix.ENOENT):
		home, err := d.walk(none(), a.Home, uid, nil)
		home.close()
		return Sight{State: Missing, NoHome: errors.Is(err, unix.ENOENT), Detail: unix.ENOENT.Error()}, nil
	case errors.Is(err, errLink), errors.Is(err, errForeign):
		return Sight{State: Unreadable, Blind: true, Detail: err.Error()}, nil
	case errors.Is(err, unix.EACCES):
		return Sight{State: Unreadable, Detail: err.Error(), Barrier: d.barrier(file, uid)}, nil
	case oneOf(err, unix.ELOOP, unix.ENOTDIR, unix.ENAMETOOLONG):
		return Sight{State: Unreadable, Detail: err.Error()}, nil
	case err != nil:
		return Sight{}, err
	}
	defer at.close()
	if !at.is(unix.S_IFREG) {
		return Sight{State: Irregular, Detail: at.kind()}, nil
	}
	seen := Sight{State: Regular}
	if err := seen.load(at); err != nil {
		return Sight{}, err
	}
	return seen, d.levels(&seen, a, at)
}

// barrier is the last directory on the way that can be found: in it the user may not search.
func (d *Door) barrier(file string, uid uint32) (found Level) {
	for dir := filepath.Dir(file); ; dir = filepath.Dir(dir) {
		at, err := d.walk(none(), dir, uid, nil)
		if err == nil {
			found, _ = at.level(dir) // it is for people
			at.close()
		}
		if err == nil || dir == "/" {
			return found
		}
	}
}

// load reads the file. sshd opens it with O_NONBLOCK too (auth_openfile in auth2-pubkeyfile.c), so that a lease keeps both out.
func (s *Sight) load(at handle) error {
	fd, err := reopen(at.fd, unix.O_RDONLY)
	if err == nil {
		defer closeFD(fd)
		s.Data, err = pread(fd, int(min(at.size, MaxSize)))
	}
	switch {
	case err != nil && (denied(err) || oneOf(err, unix.EAGAIN, unix.ETXTBSY)):
		s.State, s.Detail = Unreadable, err.Error()
		if where, err := at.realPath(); err == nil {
			s.Barrier, _ = at.level(where) // it is for people
		}
	case err != nil:
		return err
	case at.size > MaxSize:
		s.State, s.Detail = Oversize, fmt.Sprintf("%d bytes", at.size)
	}
	return nil
}

// levels fills in what StrictModes asks for.
func (d *Door) levels(s *Sight, a Account, at handle) error {
	uid := uint32(a.UID) //nolint:gosec // checked by Account.Check
	where, err := at.realPath()
	if err != nil {
		s.State, s.Detail = Unreadable, err.Error()
		return nil //nolint:nilerr // realpath(3) finds none either, and sshd reads no file then
	}
	top := "/"
	if home, err := d.walk(none(), a.Home, uid, nil); err == nil {
		if at, err := home.realPath(); err == nil {
			top = at
		}
		home.close()
	}
	s.Path = where
	level, err := at.level(where)
	s.Levels = []Level{level}
	for dir := filepath.Dir(where); err == nil; dir = filepath.Dir(dir) {
		var above handle
		if above, err = d.walk(none(), dir, uid, nil); err != nil {
			break
		}
		level, err = above.level(dir)
		above.close()
		s.Levels = append(s.Levels, level)
		if dir == top || dir == "/" {
			break
		}
	}
	if denied(err) || errors.Is(err, unix.ENOENT) || errors.Is(err, errForeign) {
		s.State, s.Detail, s.Blind = Unreadable, err.Error(), errors.Is(err, errForeign)
		return nil
	}
	return err
}

func (h handle) level(where string) (Level, error) {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstat(h.fd, &st) }); err != nil {
		return Level{}, err
	}
	return Level{Path: where, UID: int(st.Uid), GID: int(st.Gid), Mode: st.Mode & 0o7777}, nil
}
