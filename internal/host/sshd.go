package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/keyreeve/keyreeve/internal/homes"
)

const (
	// lifetime bounds the age of what may change without a configuration that changes: what sshd says of one user, who may
	// have come into a group that Match Group names, and his groups.
	lifetime = time.Hour
	// pause is how long nobody is asked after a failure, so that a name service that hangs costs one wait, and not one for
	// each user.
	pause = 10 * time.Second
)

// SSHD knows which files the sshd of this host read for an account. It is safe for concurrent use.
type SSHD struct {
	servers []*server
	asked   asked
}

// NewSSHD takes the absolute path of sshd, or "" where it is to be looked for, and a configuration file for each sshd that
// runs here. Without a file nothing is asked, and the two files of the default are kept.
func NewSSHD(program string, configs []string) *SSHD {
	var s SSHD
	where := func() string { return program }
	if program == "" {
		where = func() string { return find("sshd") }
	}
	for _, config := range configs {
		s.servers = append(s.servers, &server{find: where, config: config, answers: make(map[string]answer)})
	}
	return &s
}

// Refresh looks at the configurations and asks sshd again where they are not the ones that it was asked about. changed says that
// the files of some account may be others now. With an error the last good answer stays in force; without one, the two
// default files and all that the configuration's text names.
func (s *SSHD) Refresh(ctx context.Context) (changed bool, err error) {
	var wrong []error
	for _, server := range s.servers {
		other, err := server.refresh(ctx)
		changed = changed || other
		wrong = append(wrong, err)
	}
	return changed, errors.Join(wrong...)
}

// Check says what cannot be read of the configurations, and of what they include, and whether the program is there. Nothing is
// run. On a host without sshd there is nothing to read.
func (s *SSHD) Check() error {
	var wrong []error
	for _, server := range s.servers {
		program := server.find()
		if program == "" {
			continue
		}
		if _, err := exec.LookPath(program); err != nil {
			wrong = append(wrong, fmt.Errorf("sshd: %w", err))
		}
		for _, err := range scan(server.config).wrong {
			wrong = append(wrong, fmt.Errorf("configuration of sshd: %w", err))
		}
	}
	return errors.Join(wrong...)
}

// KeyFiles lists the files that some sshd of this host reads for an account. Files that come with an error are what is
// in force in spite of it.
func (s *SSHD) KeyFiles(a homes.Account) (homes.KeyFiles, error) {
	if len(s.servers) == 0 {
		return keyFiles(defaultFiles(), a, false), nil
	}
	var list []string
	var wrong []error
	expands := false // they are one program
	for _, server := range s.servers {
		more, err := server.entries(a.Name)
		list = append(list, more...)
		wrong = append(wrong, err)
		expands = expands || server.expands()
	}
	return keyFiles(list, a, expands), errors.Join(wrong...)
}

// Folders are the directories of the configuration files, as of the last Refresh, where a change may make another necessary.
func (s *SSHD) Folders() []string {
	all := make(map[string]bool)
	for _, server := range s.servers {
		server.mu.Lock()
		for _, folder := range server.folders {
			all[folder] = true
		}
		server.mu.Unlock()
	}
	return slices.Sorted(maps.Keys(all))
}

// server is one sshd.
type server struct {
	find   func() string // the program
	config string

	asking  sync.Mutex // held by refresh
	mu      sync.Mutex
	force   *reading // what is in force
	folders []string
	answers map[string]answer // by user
	// until then nobody is asked about a user, for this reason.
	until time.Time
	fault error
}

// reading is one state of the configuration; it does not change.
type reading struct {
	stamp   stamp  // of the program and the files that it came from
	good    bool   // sshd said so
	program string // "": this host has no sshd
	expands bool   // glob characters
	perUser bool
	list    []string // for everybody, unless perUser
	text    text
}

// answer is what sshd said of one user.
type answer struct {
	list []string
	of   *reading
	at   time.Time
}

func (s *server) refresh(ctx context.Context) (changed bool, err error) {
	s.asking.Lock()
	defer s.asking.Unlock()
	program := s.find()
	now := &reading{program: program, list: defaultFiles()}
	if program != "" {
		now.text = scan(s.config)
	}
	now.stamp = stampOf(append([]string{program}, now.text.files...))
	s.mu.Lock()
	old := s.force
	s.folders = now.text.folders
	s.mu.Unlock()
	if old != nil && old.program != "" && program == "" {
		return false, errors.New("this host has no sshd any more; what it said last stays in force")
	}
	if old != nil && old.good && old.stamp.same(now.stamp) && len(now.text.wrong) == 0 {
		return false, nil
	}
	now.good = true
	if program != "" {
		// Root is an account everywhere. Where users differ, this only shows whether sshd takes its configuration.
		if now.list, err = ask(ctx, program, s.config, "root"); err != nil {
			now.good, now.list, now.text.beside = false, defaultFiles(), now.text.named
		} else {
			now.perUser = now.text.perUser
			err = errors.Join(now.text.wrong...)
		}
	}
	if !now.good && old != nil && old.good {
		return false, err
	}
	if all := slices.Concat(now.list, now.text.named); strings.ContainsAny(strings.Join(all, " "), homes.GlobCharacters) {
		now.expands = expands(ctx, program)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.force = now
	s.until = time.Time{}
	maps.DeleteFunc(s.answers, func(_ string, a answer) bool { return time.Since(a.at) > 48*lifetime })
	return old == nil || !old.same(now), err
}

func (s *server) expands() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.force != nil && s.force.expands
}

// same reports whether two readings say the same of everybody.
func (r *reading) same(other *reading) bool {
	return r.good == other.good && r.expands == other.expands && !r.perUser && !other.perUser && slices.Equal(r.list, other.list) && slices.Equal(r.text.beside, other.text.beside)
}

// entries are those of AuthorizedKeysFile that are in force for a user.
func (s *server) entries(user string) ([]string, error) {
	s.mu.Lock()
	force, known, wait, fault := s.force, s.answers[user], time.Until(s.until), s.fault
	s.mu.Unlock()
	if force == nil {
		return defaultFiles(), errors.New("sshd was not asked yet")
	}
	if !force.perUser {
		return slices.Concat(force.list, force.text.beside), nil
	}
	if known.of == force && time.Since(known.at) < lifetime {
		return slices.Concat(known.list, force.text.beside), nil
	}
	if wait <= 0 {
		list, err := ask(context.Background(), force.program, s.config, user)
		s.mu.Lock()
		defer s.mu.Unlock()
		if err == nil {
			s.answers[user] = answer{list: list, of: force, at: time.Now()}
			return slices.Concat(list, force.text.beside), nil
		}
		fault = fmt.Errorf("the files of %s are not known: %w", user, err)
		s.until, s.fault = time.Now().Add(pause), err
	} else {
		fault = fmt.Errorf("the files of %s are not known: %w", user, fault)
	}
	if known.of != nil {
		return slices.Concat(known.list, force.text.beside), fault
	}
	return slices.Concat(defaultFiles(), force.text.named), fault
}

// stamp is what stat(2) tells of files when they are written or exchanged. A file that is not there is nil.
type stamp []os.FileInfo

func stampOf(files []string) stamp {
	list := make(stamp, len(files))
	for i, name := range files {
		if info, err := os.Stat(name); err == nil {
			list[i] = info
		}
	}
	return list
}

func (s stamp) same(other stamp) bool {
	return slices.EqualFunc(s, other, func(a, b os.FileInfo) bool {
		if a == nil || b == nil {
			return a == b
		}
		return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
	})
}

// Expand makes of what sshd says of AuthorizedKeysFile for an account the files that it reads.
func (s *SSHD) Expand(ctx context.Context, settings Settings, a homes.Account) homes.KeyFiles {
	entries := settings.Words("AuthorizedKeysFile")
	pattern := strings.ContainsAny(strings.Join(entries, " "), homes.GlobCharacters)
	return keyFiles(entries, a, pattern && len(s.servers) > 0 && expands(ctx, s.servers[0].find()))
}

// TrustsOwnGroups reports whether the sshd of a configuration lets a group write to key files that is the user's alone (OwnGroup). That of Debian and its
// kin does, by user-group-modes.patch; they are known by a keyword that another patch of theirs adds, and that no other sshd takes.
func (s *SSHD) TrustsOwnGroups(ctx context.Context, config string) (bool, error) {
	for _, server := range s.servers {
		program := server.find()
		if server.config != config || program == "" {
			continue
		}
		_, err := run(ctx, program, "-t", "-f", config, "-o", "DebianBanner=no")
		if err != nil && strings.Contains(err.Error(), "DebianBanner") {
			return false, nil
		}
		return err == nil, err
	}
	return false, nil
}
