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
		f.Programs[u.program] = unsafePath(u.program)
		f.Answer[u.file] = q.answerFile(u.file, f.Accounts)
		if gid, err := q.group(u.user); err == nil {
			f.Groups[u.user] = gid
		}
	}
}

// unsafePath says why sshd would not run a program: it, and every directory above it, must be root's alone to write.
func unsafePath(path string) string {
	at, info, err := statefile.Exposed(path)
	if err != nil {
		return "it cannot be found: " + err.Error()
	}
	if at != "" {
		uid, _ := statefile.Owner(info)
		return fmt.Sprintf("%s belongs to uid %d, mode %04o: sshd wants it root's alone to write", at, uid, info.Mode().Perm())
	}
	if info, err = os.Stat(path); err != nil {
		return err.Error()
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0 {
		return "it is no program"
	}
	return ""
}

// answerFile looks at the file of answers, and asks it for each of the sample.
func (q Question) answerFile(path string, accounts []Account) AnswerFile {
	file, err := os.Open(path) //nolint:gosec // the configuration of sshd names it
	if errors.Is(err, fs.ErrNotExist) {
		return AnswerFile{Missing: true}
	}
	if err != nil {
		return AnswerFile{Fault: err.Error()}
	}
	defer file.Close() //nolint:errcheck // it was read
	info, err := file.Stat()
	if err != nil {
		return AnswerFile{Fault: err.Error()}
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
	return a
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
