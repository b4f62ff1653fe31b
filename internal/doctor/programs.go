package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/keyreeve/keyreeve/internal/answer"
	"github.com/keyreeve/keyreeve/internal/statefile"
)

// programs looks at what sshd and PAM run of keyreeve's, at what that runs, and at the file that it reads.
func (q Question) programs(f *Facts) {
	f.Programs, f.Answer = make(map[string]string), make(map[string]AnswerFile)
	f.Readers, f.Shut = make(map[string]Reader), make(map[Reach]string)
	for _, user := range f.commandUsers() {
		if reader, err := q.reader(user); err == nil {
			f.Readers[user] = reader
		}
	}
	var ran, read []string
	for _, u := range f.uses() {
		ran, read = add(ran, u.program), add(read, u.file)
	}
	for _, s := range f.commands() {
		if a := askedBy(s); a.also != "" {
			other, _ := a.other()
			ran = add(ran, other)
		}
	}
	for _, program := range ran {
		if err := unsafePath(program); err != nil && !f.hidden(err) {
			f.Programs[program] = err.Error()
		}
		f.reach(program, mayPass)
	}
	for _, name := range read {
		if file, err := q.answerFile(name, f.Accounts); err == nil {
			f.Answer[name] = file
		} else if !f.hidden(err) {
			f.Answer[name] = AnswerFile{Fault: err.Error()}
		}
		f.reach(name, 0)
	}
}

// commandUsers are those as whom commands run, in force and in blocks.
func (f *Facts) commandUsers() (list []string) {
	for _, said := range f.Said {
		for _, s := range said.Users {
			list = append(list, s.Words("AuthorizedKeysCommandUser")...)
		}
		for _, line := range said.Lines {
			if line.Keyword == "authorizedkeyscommanduser" {
				list = append(list, line.Values...)
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// reach looks at what keeps each of the readers from a path: the file itself, if a bit is given, and all directories above it, also where links lead.
func (f *Facts) reach(path string, bit uint32) {
	var above []string
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		target = path // it is told elsewhere
	}
	for _, name := range []string{filepath.Clean(path), target} {
		for name != "/" && name != "." {
			name = filepath.Dir(name)
			above = add(above, name)
		}
	}
	for user, reader := range f.Readers {
		for _, dir := range above {
			if why := reader.barred(dir, mayPass); why != "" {
				f.Shut[Reach{user, path}] = why
			}
		}
		if bit != 0 && f.Shut[Reach{user, path}] == "" {
			f.Shut[Reach{user, path}] = reader.barred(path, bit)
		}
	}
}

// barred says how a mode keeps somebody out. What is not there keeps nobody: it is told as that.
func (r Reader) barred(path string, bit uint32) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	uid, gid := statefile.Owner(info)
	if mode := uint32(info.Mode().Perm()); !r.may(uid, gid, mode, bit) {
		return fmt.Sprintf("%s (uid %d, group %d, mode %04o) is shut to uid %d, groups %v", path, uid, gid, mode, r.UID, r.Groups)
	}
	return ""
}

// unsafePath says why sshd would not run a program: it, and every directory above it, must be root's alone to write (auth_secure_path
// in OpenSSH's misc.c).
func unsafePath(path string) error {
	at, err := exposed(path)
	if err != nil {
		return fmt.Errorf("it cannot be found: %w", err)
	}
	if at != "" {
		return errors.New(at + ": sshd wants it root's alone to write")
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0 {
		return errors.New("it is no program")
	}
	return nil
}

// answerFile looks at the file of answers, and asks it for each of the sample.
func (q Question) answerFile(path string, accounts []Account) (AnswerFile, error) {
	if info, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return AnswerFile{Missing: true}, nil
	} else if err == nil && !info.Mode().IsRegular() { // as open in cmd/keyreeve-keys; a FIFO would hold this up
		return AnswerFile{}, errors.New("it is a link, or no regular file: keyreeve-keys does not open it")
	}
	file, err := os.Open(path) //nolint:gosec // the configuration of sshd names it
	if err != nil {
		return AnswerFile{}, err
	}
	defer file.Close() //nolint:errcheck // it was read
	info, err := file.Stat()
	if err != nil {
		return AnswerFile{}, err
	}
	var a AnswerFile
	a.UID, a.GID = statefile.Owner(info)
	a.Mode = uint32(info.Mode().Perm())
	note := func(err error) {
		switch {
		case errors.Is(err, answer.ErrStale):
			a.Stale = true
		case err != nil:
			a.Fault = err.Error()
		}
	}
	// The rules are in every file, whomever it has.
	_, err = answer.FindRules(file, info.Size(), q.Now)
	note(err)
	for _, account := range accounts {
		_, _, err := answer.Find(file, info.Size(), account.Name, q.Now)
		note(err)
	}
	return a, nil
}

// reader is an account with its groups, of the files of this host.
func (q Question) reader(user string) (r Reader, err error) {
	err = fs.ErrNotExist
	wrong := q.fields("/etc/passwd", func(fields []string) {
		if len(fields) >= 4 && fields[0] == user && err != nil {
			var gid int
			var bad error
			r.UID, err = strconv.Atoi(fields[2])
			gid, bad = strconv.Atoi(fields[3])
			r.Groups, err = []int{gid}, errors.Join(err, bad)
		}
	})
	more := q.fields("/etc/group", func(fields []string) {
		if len(fields) < 4 || !slices.Contains(strings.Split(fields[3], ","), user) {
			return
		}
		if gid, err := strconv.Atoi(fields[2]); err == nil && !slices.Contains(r.Groups, gid) {
			r.Groups = append(r.Groups, gid)
		}
	})
	if errors.Is(more, fs.ErrNotExist) {
		more = nil
	}
	return r, errors.Join(wrong, err, more)
}
