package homes

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"syscall"

	"golang.org/x/sys/unix"
)

// serve answers calls by a Door of this process until there are none.
func serve(mode string, in io.Reader, out io.Writer) error {
	var told []string
	door, err := Open(Options{Guard: mode == "guard", Unguarded: func(why string) { told = append(told, why) }})
	if err != nil {
		return err
	}
	calls, answers := gob.NewDecoder(in), gob.NewEncoder(out)
	for {
		var call ask
		if err := calls.Decode(&call); errors.Is(err, io.EOF) {
			return door.Close()
		} else if err != nil {
			return err
		}
		pause := func() error { return errors.Join(answers.Encode(answer{}), calls.Decode(&ask{})) }
		said := act(door, call, pause)
		said.Told = told
		if err := answers.Encode(said); err != nil {
			return err
		}
	}
}

// act does one call. pause lets the caller do something in the midst of it.
func act(door *Door, call ask, pause func() error) (said answer) {
	var file File
	var err error
	switch call.Call {
	case "read":
		file, err = door.Read(call.Account, call.Name)
	case "replace":
		err = door.Replace(call.Account, call.Name, cooked[Version](call.Version), call.Data, call.Others...)
	case "seize":
		err = door.Seize(call.Account, call.Name, call.Data, call.Others...)
	case "renew":
		err = door.Renew(call.Account, call.Name, call.Data, call.Number != 0, call.Others...)
	case "clean":
		door.Clean(call.Account, call.Others...)
	case "stuck":
		said.Number = door.Stuck()
	case "dirs":
		said.Dirs, err = door.Dirs(call.Account, call.Others...)
	case "glob":
		said.Files, err = door.Glob(call.Account, call.Files)
	case "same home":
		said.Same, err = door.SameHome(call.Account, call.Twin)
	case "disarm":
		err = disarm(door, call.Account)
	case "late":
		err = late(door, call.Account, cooked[Version](call.Version), pause)
	default:
		said.Number, err = setUp(door, call.Call, call.Number)
	}
	said.Data, said.Detail, said.Remark = file.Data, file.Detail, file.Remark
	file.Data, file.Detail, file.Remark = nil, "", ""
	said.File = bytes.Clone(raw(&file))
	if err != nil {
		said.Err = err.Error()
		said.Is = kinds(err)
	}
	return said
}

// kinds lists what errors.Is would find in an error.
func kinds(err error) (list []int) {
	for i, e := range known {
		if errors.Is(err, e) {
			list = append(list, -1-i)
		}
	}
	var errnos func(err error)
	errnos = func(err error) {
		if errno, ok := err.(unix.Errno); ok { //nolint:errorlint // the tree is walked by hand
			list = append(list, int(errno))
		}
		switch wrapper := err.(type) { //nolint:errorlint // the tree is walked by hand
		case interface{ Unwrap() error }:
			errnos(wrapper.Unwrap())
		case interface{ Unwrap() []error }:
			for _, err := range wrapper.Unwrap() {
				errnos(err)
			}
		}
	}
	errnos(err)
	return list
}

// setUp changes what a Door, or the process that it is in, is like.
func setUp(door *Door, what string, number int) (int, error) {
	switch what {
	case "grace":
		door.grace = 0
	case "group":
		door.groups = func(Account) ([]int, error) { return []int{number}, nil }
	case "umask":
		return syscall.Umask(number), nil
	case "refuse reads":
		return 0, refuse(unix.SYS_PREAD64, unix.Errno(number))
	case "refuse unnamed":
		return 0, refuseOpen(unix.O_TMPFILE&^unix.O_DIRECTORY, unix.Errno(number))
	case "refuse files":
		return 0, refuseOpen(unix.O_CREAT|unix.O_TMPFILE&^unix.O_DIRECTORY, unix.Errno(number))
	case "refuse renames":
		return 0, errors.Join(refuse(unix.SYS_RENAMEAT, unix.Errno(number)), refuse(unix.SYS_RENAMEAT2, unix.Errno(number)))
	case "refuse links":
		return 0, refuse(unix.SYS_LINKAT, unix.Errno(number))
	case "refuse modes":
		return 0, errors.Join(refuse(unix.SYS_FCHMODAT, unix.Errno(number)), refuse(unix.SYS_FCHMOD, unix.Errno(number)))
	case "refuse directories":
		return 0, refuse(unix.SYS_MKDIRAT, unix.Errno(number))
	default:
		return 0, fmt.Errorf("there is no call %q", what)
	}
	return 0, nil
}

// setUp is setUp where the door is.
func (h *home) setUp(what string, number int) int {
	h.Helper()
	var err error
	if remote, ok := h.door.(*remoteDoor); ok {
		var said answer
		said, err = remote.call(ask{Call: what, Number: number})
		number = said.Number
	} else {
		number, err = setUp(h.inside(), what, number)
	}
	h.must(err)
	return number
}
