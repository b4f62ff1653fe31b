package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/config"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/host"
)

// Question is what a host is asked.
type Question struct {
	Config config.Config
	// Root is the directory below which /etc and /proc and the like are looked at. sshd itself, its configuration, the homes and the
	// file of answers are where the configuration says.
	Root string
	// Accounts are the sample. Find is asked for those that sshd's configuration names beside them.
	Accounts []Account
	Find     func(name string) (Account, bool)
	// Homes are those of all accounts that are kept.
	Homes []string
	Now   time.Time
}

// Collect looks at a host. What could not be looked at is in the facts.
func Collect(ctx context.Context, q Question) Facts {
	f := Facts{Config: q.Config, Now: q.Now, Homes: len(q.Homes), Accounts: q.Accounts}
	if os.Geteuid() != 0 {
		f.Unread = append(f.Unread, fmt.Errorf("keyreeve doctor runs with uid %d: sshd's host keys, /etc/shadow and files of keyreeve's are for root alone to read", os.Geteuid()))
	}
	q.sshd(ctx, &f)
	q.stack(&f)
	q.programs(&f)
	q.lists(ctx, &f)
	q.servers(&f)
	q.fileSystems(&f)
	f.Locked = q.locked(&f)
	f.Watches, f.Instances = q.number("proc/sys/fs/inotify/max_user_watches"), q.number("proc/sys/fs/inotify/max_user_instances")
	f.Writers = q.writers()
	for _, path := range []string{"/etc/hosts.equiv", "/etc/ssh/shosts.equiv", "/etc/shosts.equiv"} {
		if info, err := os.Stat(q.path(path)); err == nil && info.Size() > 0 {
			f.Equivalents = append(f.Equivalents, path)
		}
	}
	return f
}

func (q Question) path(name string) string { return filepath.Join(q.Root, name) }

// bound is more than any file that is read whole here has.
const bound = 8 << 20

// read reads a file of the system's.
func (q Question) read(name string) ([]byte, error) { return readRegular(q.path(name)) }

// readRegular reads a file that nobody but root names.
func readRegular(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	// Those of procfs have no size.
	if !info.Mode().IsRegular() || info.Size() > bound {
		return nil, fmt.Errorf("%s: no regular file of at most %d bytes", path, bound)
	}
	return os.ReadFile(path) //nolint:gosec // a fixed name below the root, or one of sshd's configuration
}

// sshd asks sshd about the sample, and about whom its own configuration names.
func (q Question) sshd(ctx context.Context, f *Facts) {
	sshd := host.NewSSHD(q.Config.Homes.SSHD.Program, q.Config.Homes.SSHD.Configs)
	for _, said := range sshd.Ask(ctx, nil) {
		for _, name := range named(said.Lines) {
			known := func(a Account) bool { return a.Name == name }
			if account, ok := q.Find(name); ok && !slices.ContainsFunc(f.Accounts, known) {
				f.Accounts = append(f.Accounts, account)
			}
		}
	}
	var names []string
	f.Accounts = slices.DeleteFunc(slices.Clone(f.Accounts), func(a Account) bool { return a.Check() != nil })
	for _, account := range f.Accounts {
		names = append(names, account.Name)
	}
	f.Said = sshd.Ask(ctx, names)
	if _, err := sshd.Refresh(ctx); err != nil {
		return // sshd's own answer has the same error
	}
	for i := range f.Accounts {
		a := &f.Accounts[i]
		var err error
		if a.Files, err = sshd.KeyFiles(a.Account); err != nil { //nolint:contextcheck,nolintlint // one question has its own bound
			f.Unread = append(f.Unread, err)
		}
		if a.Glass {
			f.fill(a)
		}
	}
}

// mostNamed bounds how many users are taken from Match User lines.
const mostNamed = 50

// named are the users whom Match blocks name, without patterns.
func named(lines []host.Line) []string {
	var list []string
	for _, line := range lines {
		if line.Keyword != "match" {
			continue
		}
		for i := 0; i+1 < len(line.Values); i++ {
			if !strings.EqualFold(line.Values[i], "user") {
				continue
			}
			for name := range strings.SplitSeq(line.Values[i+1], ",") {
				if !strings.ContainsAny(name, "*?!") && !slices.Contains(list, name) && len(list) < mostNamed {
					list = append(list, name)
				}
			}
		}
	}
	return list
}

// fields gives the fields of each line of a file like /etc/passwd.
func (q Question) fields(file string, want func(fields []string)) error {
	text, err := q.read(file)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) {
		want(strings.Split(strings.TrimSuffix(line, "\n"), ":"))
	}
	return nil
}

// locked are those of the sample, and accounts of users, whom sshd without PAM takes for locked: LOCKED_PASSWD_PREFIX in OpenSSH's
// configure.ac is "!" on Linux.
func (q Question) locked(f *Facts) []string {
	mine := make(map[string]bool)
	for _, account := range f.Accounts {
		mine[account.Name] = account.Kept || account.Glass
	}
	var list []string
	err := q.fields("/etc/shadow", func(fields []string) {
		if len(fields) > 1 && mine[fields[0]] && strings.HasPrefix(fields[1], "!") {
			list = append(list, fields[0])
		}
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.Unread = append(f.Unread, err)
	}
	return list
}

// fileSystems counts what the homes are on, by the table of mounts: no file server is asked.
func (q Question) fileSystems(f *Facts) {
	text, err := q.read("/proc/self/mountinfo")
	if err != nil {
		f.Unread = append(f.Unread, err)
		return
	}
	f.Kinds = make(map[string]int)
	served := homes.Served(text)
	for _, home := range q.Homes {
		kind, _, _ := strings.Cut(served(home), " ")
		f.Kinds[kind]++
	}
}

func (q Question) number(name string) int {
	text, err := q.read(name)
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	return n
}

// writers are the tools that are there.
func (q Question) writers() []string {
	var list []string
	for path := range agents() {
		if _, err := os.Stat(q.path(path)); err == nil {
			list = append(list, path)
		}
	}
	if _, err := os.Stat(q.path("/etc/cloud/cloud-init.disabled")); err == nil {
		list = slices.DeleteFunc(list, func(path string) bool { return path == "/etc/cloud/cloud.cfg" })
	}
	names, _ := filepath.Glob(q.path("/etc/profile.d/*")) // the pattern is good
	for _, name := range names {
		name = strings.TrimPrefix(name, filepath.Clean(q.Root))
		if text, err := q.read(name); err == nil && strings.Contains(string(text), "authorized_keys") {
			list = append(list, filepath.Join("/", name))
		}
	}
	slices.Sort(list)
	return list
}
