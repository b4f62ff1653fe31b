package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"github.com/keyreeve/keyreeve/internal/answer"
	"github.com/keyreeve/keyreeve/internal/statefile"
)

// programs looks at what sshd and PAM run of keyreeve's, and at the file that it reads.
func (q Question) programs(f *Facts) {
	f.Programs, f.Answer, f.Groups = make(map[string]string), make(map[string]AnswerFile), make(map[string]int)
	for _, u := range f.uses() {
		if err := unsafePath(u.program); err != nil && !f.hidden(err) {
			f.Programs[u.program] = err.Error()
		}
		if file, err := q.answerFile(u.file, f.Accounts); err == nil {
			f.Answer[u.file] = file
		} else if !f.hidden(err) {
			f.Answer[u.file] = AnswerFile{Fault: err.Error()}
		}
		if gid, err := q.group(u.user); err == nil {
			f.Groups[u.user] = gid
		}
	}
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
	file, err := os.Open(path) //nolint:gosec // the configuration of sshd names it
	if errors.Is(err, fs.ErrNotExist) {
		return AnswerFile{Missing: true}, nil
	}
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
	for _, account := range accounts {
		_, _, err := answer.Find(file, info.Size(), account.Name, q.Now)
		switch {
		case errors.Is(err, answer.ErrStale):
			a.Stale = true
		case err != nil:
			a.Fault = err.Error()
		}
	}
	return a, nil
}

func (q Question) group(user string) (gid int, err error) {
	err = fs.ErrNotExist
	wrong := q.fields("/etc/passwd", func(fields []string) {
		if len(fields) >= 4 && fields[0] == user && err != nil {
			gid, err = strconv.Atoi(fields[3])
		}
	})
	return gid, errors.Join(wrong, err)
}
