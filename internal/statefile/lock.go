package statefile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// maxPid bounds what is read back from a lock file: the decimal digits of a process id and a newline.
const maxPid = 32

// Lock takes the lock file at path for this process and makes it (mode 0600) when it is missing. It does not wait: when
// another process has it, the error names the process id that the holder wrote into the file. The lock ends with Close or with
// the process, however that dies; the file stays, because removing it would let two processes lock two files of one name.
func Lock(path string) (io.Closer, error) {
	// open(O_CREAT|O_NOFOLLOW) fstat flock(LOCK_EX|LOCK_NB) ftruncate write
	file, err := os.OpenFile(path, lockFlags, 0o600) //nolint:gosec // the path is the administrator's, and take looks at what was opened
	if err != nil {
		return nil, openError(path, err)
	}
	if err := take(file, path); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// take locks an open lock file and writes this process's id into it.
func take(file *os.File, path string) error {
	if _, err := inspect(file, path); err != nil {
		return err
	}
	held, err := flock(file)
	switch {
	case err != nil:
		return fmt.Errorf("lock %s: %w", path, err)
	case held:
		return fmt.Errorf("lock %s: held by %s", path, holder(file))
	}
	if err := file.Truncate(0); err != nil {
		return err
	}
	_, err = file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// holder names the process that wrote itself into the lock file.
func holder(file *os.File) string {
	text := make([]byte, maxPid)
	n, err := file.ReadAt(text, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return "another process"
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text[:n])))
	if err != nil {
		return "another process"
	}
	return fmt.Sprintf("process %d", pid)
}
