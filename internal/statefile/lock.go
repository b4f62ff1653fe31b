package statefile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// maxPid bounds what is read back from a lock file: the decimal digits of a process id and a newline.
const maxPid = 32

// Lock takes the lock file at path for this process and makes it (mode 0600) when it is missing. It does not wait: when
// another process has it, the error names the process id that the holder wrote into the file. The lock ends with Close or with
// the process, however that dies; the file stays, because removing it would let two processes lock two files of one name.
//
// The descriptor is in no table of descriptors but that of one thread, which does nothing else. The table that the other
// threads share goes with the last of them, and one that waits in a system call for a user's file, which no signal ends, would
// keep the lock from the next daemon as long as the user likes.
func Lock(path string) (lock io.Closer, err error) {
	// open(O_CREAT|O_NOFOLLOW) fstat, then in the keeper unshare(CLONE_FILES) flock(LOCK_EX|LOCK_NB), then ftruncate write close
	file, err := os.OpenFile(path, lockFlags, 0o600) //nolint:gosec // the path is the administrator's, and inspect looks at what was opened
	if err != nil {
		return nil, openError(path, err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if _, err := inspect(file, path); err != nil {
		return nil, err
	}
	k := &keeper{fd: int(file.Fd()), taken: make(chan error, 1), end: make(chan struct{}), ended: make(chan struct{})}
	go k.keep()
	switch err := <-k.taken; {
	case errors.Is(err, syscall.EWOULDBLOCK):
		return nil, fmt.Errorf("lock %s: held by %s", path, holder(file))
	case err != nil:
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if err = file.Truncate(0); err == nil {
		_, err = file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		return nil, errors.Join(err, k.Close())
	}
	return k, nil
}

// keeper is the thread that has the lock: one of the very descriptor that is open elsewhere, but in a table of its own.
type keeper struct {
	fd         int
	taken      chan error // what came of taking it
	end, ended chan struct{}
	once       sync.Once
}

// Close gives the lock back.
func (k *keeper) Close() error {
	k.once.Do(func() { close(k.end) })
	<-k.ended
	return nil
}

// keep takes the lock on a thread of its own, which ends with its goroutine. Not the first thread: it is the process to /proc, and
// /proc/self/fd would show its table of descriptors to all.
func (k *keeper) keep() {
	runtime.LockOSThread()
	if syscall.Gettid() == os.Getpid() {
		// While this goroutine holds the first thread, the next one gets another.
		started := make(chan struct{})
		go func() {
			close(started)
			k.keep()
		}()
		<-started
		runtime.UnlockOSThread()
		return
	}
	defer close(k.ended)
	// From here on system calls alone: whatever else uses descriptors, as the runtime's epoll, counts on the shared table.
	err := syscall.Unshare(syscall.CLONE_FILES)
	if err == nil {
		// Of the others nothing stays open here that is closed elsewhere; kernels before 5.9 cannot do that.
		_, _, _ = syscall.RawSyscall(sysCloseRange, 3, uintptr(k.fd-1), 0)
		_, _, _ = syscall.RawSyscall(sysCloseRange, uintptr(k.fd+1), 1<<32-1, 0)
		err = flock(k.fd)
	}
	k.taken <- err
	if err == nil {
		<-k.end
	}
	_ = syscall.Close(k.fd) // before ended, so that the lock is free then
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
