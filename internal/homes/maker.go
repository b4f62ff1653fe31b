package homes

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// maker is the process that gave a temporary file its name, which says so: what
// a process left that is no more can go at once.
type maker struct {
	host  string // hostLetters letters for a machine and a table of processes
	pid   int
	start uint64 // as in lifetime: a pid is used again
}

const hostLetters = 8

const tempPrefix = ".keyreeve-new-"

// newMaker is this process. Hosts that were made from one image may share their
// machine-id(5), and containers that as well: so the name of the node and the
// namespace of the pids count too.
func newMaker() (maker, error) {
	m := maker{pid: os.Getpid()}
	var err error
	if _, m.start, err = Lifetime(m.pid); err != nil {
		return m, err
	}
	var node unix.Utsname
	if err := unix.Uname(&node); err != nil {
		return m, fmt.Errorf("uname: %w", err)
	}
	pids, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return m, err
	}
	id, _ := os.ReadFile("/etc/machine-id") // not every host has one
	sum := sha256.Sum256(bytes.Join([][]byte{id, node.Nodename[:], []byte(pids)}, []byte{0}))
	m.host = base32.StdEncoding.EncodeToString(sum[:])[:hostLetters]
	return m, nil
}

// tempName is random, so nothing the user put there before is met; its dot keeps
// it out of a pattern in AuthorizedKeysFile (sshd from 10.0 on).
func (m maker) tempName() string { return m.name(rand.Text()) }

func (m maker) name(random string) string {
	return fmt.Sprintf("%s%s-%08x-%016x-%s", tempPrefix, m.host, m.pid, m.start, random)
}

// makerOf tells the names that tempName makes; rand.Text is 26 letters of base32
// (crypto/rand).
func makerOf(name string) (m maker, made bool) {
	rest, found := strings.CutPrefix(name, tempPrefix)
	parts := strings.Split(rest, "-")
	if !found || len(parts) != 4 || !letters(parts[0], hostLetters) || !letters(parts[3], 26) {
		return m, false
	}
	pid, wrong := strconv.ParseUint(parts[1], 16, 31)
	start, odd := strconv.ParseUint(parts[2], 16, 64)
	m = maker{parts[0], int(pid), start}
	return m, wrong == nil && odd == nil && pid > 0 && m.name(parts[3]) == name
}

func letters(text string, n int) bool {
	return len(text) == n && strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}

// dead reports that a process of this host is no more. kill(2) knows even one that
// /proc hides (hidepid); whatever is in doubt lives.
func (m maker) dead() bool {
	if errors.Is(unix.Kill(m.pid, 0), unix.ESRCH) {
		return true
	}
	state, start, err := Lifetime(m.pid)
	return err == nil && (state == "Z" || start != m.start)
}

// Lifetime is the state of a process and when it began, in ticks since the start
// of the host: fields 3 and 22 of /proc/PID/stat (proc_pid_stat(5)), of which the
// second may hold anything, in brackets.
func Lifetime(pid int) (state string, start uint64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", 0, err
	}
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 20 {
		return "", 0, fmt.Errorf("/proc/%d/stat has %d fields after the name, want 20 at least", pid, len(fields))
	}
	start, err = strconv.ParseUint(string(fields[19]), 10, 64)
	return string(fields[0]), start, err
}

// Clean removes from the directories of key files, and from those above them in the home, what processes of this host that
// are no more left there under temporary names; a link goes aside, as it would
// have. It is for the first look at an account, after whatever that look changes.
// Each directory is listed once, with the bounds of what follows a Replace; errors
// are of no account.
func (d *Door) Clean(a Account, files ...string) {
	seen := make(map[string]bool)
	for _, file := range files {
		s, err := a.spot(file)
		if err != nil || seen[path.Dir(file)] {
			continue
		}
		seen[path.Dir(file)] = true
		_ = d.change(a, s, changing, func(owner uint32, e *effort) error {
			p, err := d.locate(a, s, owner, e)
			if err != nil {
				return err
			}
			defer p.close()
			j := job{door: d, account: a, spot: s, uid: owner, effort: e, p: p}
			for _, dir := range p.above {
				j.sweepIn(dir, node{}, true)
			}
			if p.dir.fd >= 0 {
				j.sweep(nil)
			}
			return nil
		})
	}
}
