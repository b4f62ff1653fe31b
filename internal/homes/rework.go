package homes

import (
	"bytes"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// rework changes a file of a shared directory where it is, since nothing there can be renamed over it: see shared. That
// takes the lock of the file alone. sshd may read it meanwhile, and in pieces, some of which are older than others, so every
// byte that stays has its place, and every mixture is a file whose lines are of either content, cut short at most: see blank.
// What is in the file then is not j.after, but its lines, beside comments of number signs.
//
// Where its owner lets nobody write to it, by a lease of his own or by running it as a program, the file is closed (mode 0), and the error tells. So
// it does of a file that has another name.
func (j *job) rework() error {
	if j.at.fd < 0 || !j.at.is(unix.S_IFREG) || j.at.uid != 0 && j.at.uid != uint32(j.account.UID) { //nolint:gosec // checked by Account.Check
		return errHeld // sshd takes no key from a stranger's
	}
	fd := -1
	err := j.asOwner(j.at, func() (err error) {
		if j.at.perm()&0o600 != 0o600 {
			_ = chmodFD(j.at.fd, j.at.perm()|0o600)
		}
		if fd, err = reopen(j.at.fd, unix.O_RDWR); err == nil {
			return j.reworkOpen(fd)
		}
		if j.at.uid != 0 {
			err = errors.Join(err, chmodFD(j.at.fd, 0))
		}
		return fmt.Errorf("%w: %w", errHeld, err)
	})
	defer closeFD(fd)
	if err != nil {
		return err
	}
	if err = j.verify(fd); errors.Is(err, ErrChanged) {
		var st unix.Stat_t
		if wrong := unix.Fstat(fd, &st); wrong == nil && st.Nlink > 1 {
			err = fmt.Errorf("%w, and it has another name, by which it can be written unseen", errHeld)
		}
	}
	return err
}

// errRest says that all that was to go has gone, and that there is no room for what was to come.
var errRest = errors.New("nothing unknown is left in the file, and nothing could be added")

func (j *job) reworkOpen(fd int) error {
	now, err := stat(fd)
	if err != nil {
		return err
	}
	now.mode = j.seen.Version.file.mode
	if j.seen.State == Regular && !j.before.loose && !now.untouched(j.seen.Version.file) {
		return ErrChanged
	}
	if now.size > MaxSize { // not what keyreeve has written, nor what it has read
		if err := unix.Ftruncate(fd, 0); err != nil {
			return err
		}
		now.size = 0
	}
	old, err := pread(fd, int(now.size)) //nolint:gosec // at most MaxSize
	if err != nil {
		return err
	}
	blanked, rest := blank(old, j.after)
	if err := pwrite(fd, blanked); err != nil {
		return err
	}
	if blanked, err = fold(fd, old, blanked); err != nil {
		return err
	}
	text := finish(blanked, old, rest)
	if len(text) > MaxSize {
		return fmt.Errorf("%w: no room beside what stood there", errHeld)
	}
	mode := uint32(0o600)
	if now.uid == 0 {
		mode = j.mode()
	}
	if err = pwrite(fd, text); noRoom(err) {
		return errors.Join(fmt.Errorf("%w: %w", errRest, err), unix.Ftruncate(fd, int64(len(old))))
	}
	if err == nil {
		err = unix.Ftruncate(fd, int64(len(text)))
	}
	if err == nil {
		err = fchmod(fd, mode)
	}
	if err == nil {
		err = retry(func() error { return unix.Fsync(fd) })
	}
	j.after = text // for verify
	return err
}

// blank puts number signs over each line of old that is none of after's; rest are the lines of after that old has not. A line that
// stays is where it was. So whoever reads parts of the two, divided anywhere, gets for a line that goes number signs first, which make a comment
// of whatever comes behind, or number signs last. These are nothing in a key or in options, and in a comment they are a comment: what
// is before them grants no more than the whole line did. The newline stays.
func blank(old, after []byte) (blanked, rest []byte) {
	lines := make(map[string]int)
	for line := range bytes.Lines(after) {
		lines[string(bytes.TrimSuffix(line, []byte("\n")))]++
	}
	blanked = bytes.Clone(old)
	for line := range bytes.Lines(blanked) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		if lines[string(line)] > 0 {
			lines[string(line)]--
			continue
		}
		copy(line, bytes.Repeat([]byte("#"), len(line)))
	}
	for line := range bytes.Lines(after) {
		text := string(bytes.TrimSuffix(line, []byte("\n")))
		if lines[text] > 0 {
			lines[text]--
			rest = append(append(rest, text...), '\n')
		}
	}
	return blanked, rest
}

// maxBlank bounds a comment of number signs, which the planner shall leave.
const maxBlank = 4096

// fold divides long comments of number signs. Only those have no line before or behind that a newline could give something to, so it takes
// a write of its own.
func fold(fd int, old, blanked []byte) ([]byte, error) {
	folded, done := bytes.Clone(blanked), 0
	for line := range bytes.Lines(blanked) {
		for i := maxBlank; i < len(line)-1 && !bytes.Equal(line, old[done:done+len(line)]); i += maxBlank {
			folded[done+i] = '\n'
		}
		done += len(line)
	}
	if bytes.Equal(folded, blanked) {
		return blanked, nil
	}
	return folded, pwrite(fd, folded)
}

// finish drops number signs at the end, and adds what is new behind all that was there: who has read the old content to its end reads
// on with whole lines.
func finish(blanked, old, rest []byte) []byte {
	if len(rest) > 0 {
		if len(old) > 0 && old[len(old)-1] != '\n' {
			blanked = append(blanked, '\n')
		}
		return append(blanked, rest...)
	}
	end := len(blanked)
	for done := len(blanked); done > 0; {
		start := bytes.LastIndexByte(blanked[:done-1], '\n') + 1
		line := blanked[start:done]
		if len(bytes.Trim(line, "#\n")) > 0 || bytes.Equal(line, old[start:done]) {
			break
		}
		done, end = start, start
	}
	text := blanked[:end]
	if end > 0 && text[end-1] != '\n' {
		text = append(text, '\n')
	}
	return text
}
