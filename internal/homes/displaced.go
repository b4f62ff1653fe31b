package homes

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Displaced is the error of a Replace by which something went aside that no look had seen: what its user put in the place of the file
// after the last one. Whoever looks again finds what Replace has written, or what its user made of that since.
type Displaced struct {
	// Name is that of what went aside, beside the file.
	Name string
	// Version is that of what went aside, Data its content: at most its first MaxSize bytes, and nothing if it is no regular file
	// or its user may not read it.
	Version Version
	Data    []byte
	// Err is how Replace ended otherwise; nil: as without this.
	Err error
}

func (d *Displaced) Error() string {
	text := "what its user put in its place meanwhile is aside, as " + d.Name
	if d.Err != nil {
		text += ": " + d.Err.Error()
	}
	return text
}

func (d *Displaced) Unwrap() error { return d.Err }

// Is makes it an ErrChanged, for who asks no more.
func (d *Displaced) Is(target error) bool { return target == ErrChanged }

// displaced notes what has just gone aside under a name.
func (j *job) displaced(name string, old handle) {
	j.late = &Displaced{Name: name, Version: Version{file: old.node}}
	if !old.is(unix.S_IFREG) {
		return
	}
	fd, err := reopen(old.fd, unix.O_RDONLY)
	if err != nil {
		return
	}
	defer closeFD(fd)
	j.late.Data, _ = pread(fd, MaxSize) // what cannot be read is aside all the same
}

// outcome is how a job ended, with what it displaced.
func (j *job) outcome(err error) error {
	if j.late == nil {
		return err
	}
	if errors.Is(err, unix.ENOENT) {
		err = fmt.Errorf("%w: %w", ErrChanged, err) // as in replace
	}
	j.late.Err = err
	return j.late
}
