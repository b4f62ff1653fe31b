package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/explain"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/host"
	"github.com/keyreeve/keyreeve/internal/plain"
	"github.com/keyreeve/keyreeve/internal/statefile"
)

// ownStatus is what the daemon tells a user about himself, so that keyreeve explain needs no rights: all of it is his own, or for everybody to know.
type ownStatus struct {
	Version int       `json:"version"`
	Written time.Time `json:"written"`
	User    string    `json:"user"`
	UID     int       `json:"uid"`
	// Away: the registry did not answer, and the last good reading counts.
	Away bool `json:"registry_away"`
	// Registry is what it has of him; the keys are in Lines, in the same order.
	Registry explain.RegistryAnswer `json:"registry"`
	Lines    []string               `json:"lines"`
	// TrustsOwnGroups: each sshd lets a user's own group write to his key files.
	TrustsOwnGroups bool `json:"trusts_own_groups"`
	// Files are those that sshd reads, below the home relative to it. Answered: sshd may ask keyreeve-keys.
	Files    []string                `json:"files"`
	Answered bool                    `json:"answered"`
	Removed  []explain.RemovedAnswer `json:"removed"`
	Notes    []string                `json:"notes"`
}

// Bounds of all statuses: only who has a process on this host can ask for his, and so only those have one.
const (
	mostStatuses = 4096
	mostStatus   = 32 << 10 // bytes of one
	// statusAge is how old one gets before it is written anew although nothing has changed, and staleStatus when somebody should wonder.
	statusAge   = 5 * time.Minute
	staleStatus = 3 * statusAge
	// statusCopies are the copies in quarantine that are looked at for one user.
	statusCopies = 5
)

// statusDir is where statuses are: a directory of root's that others may pass and not list, one file for each uid.
func statusDir(runtimeDir string) string { return filepath.Join(runtimeDir, "users") }

func statusName(uid int) string { return strconv.Itoa(uid) + ".json" }

// statuses keeps them.
type statuses struct {
	*service

	dir        string
	answered   bool
	quarantine *enforcer.Quarantine
	configs    []string // of sshd

	fresh chan struct{}    // there is a new world
	last  map[int]written  // by uid
	taken map[string]taken // by user
	said  string
	trust bool // of ownStatus.TrustsOwnGroups
}

func (s *service) newStatuses() *statuses {
	return &statuses{
		service: s, dir: statusDir(s.config.RuntimeDir), answered: s.config.Answer.Dir != "", quarantine: quarantineOf(s.config), configs: s.config.Homes.SSHD.Configs,
		fresh: make(chan struct{}, 1), last: make(map[int]written), taken: make(map[string]taken),
	}
}

type written struct {
	text []byte // without the time
	at   time.Time
}

// enter takes a new world.
func (s *statuses) enter() {
	select {
	case s.fresh <- struct{}{}:
	default:
	}
}

// keep writes statuses until it is told to end; then they go, since they would say what nobody knows any more.
func (s *statuses) keep(ctx context.Context) {
	tick := time.NewTicker(statusesEvery)
	defer tick.Stop()
	defer func() {
		for uid := range s.last {
			s.remove(uid)
		}
	}()
	if err := s.begin(); err != nil {
		s.log.Warn("users are not told what keyreeve explain would say", zap.Error(err))
		return
	}
	s.trust = trustsOwnGroups(ctx, s.sshd.Load(), s.configs)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-s.fresh:
		}
		s.tell(s.refresh(time.Now())) //nolint:contextcheck,nolintlint // each question to sshd has its own bound
		select {
		case <-ctx.Done():
			return
		case <-time.After(statusesPause):
		}
	}
}

const (
	// statusesEvery is how often active users are looked for, statusesPause the least time between two times, however often the registry changes.
	statusesEvery = 10 * time.Second
	statusesPause = time.Second
)

// trustsOwnGroups asks each sshd; where one does not say, none does. It is a matter of the program.
func trustsOwnGroups(ctx context.Context, sshd *host.SSHD, configs []string) bool {
	for _, config := range configs {
		if is, err := sshd.TrustsOwnGroups(ctx, config); !is || err != nil {
			return false
		}
	}
	return len(configs) > 0
}

// begin makes the directory, and takes away what an earlier daemon left.
func (s *statuses) begin() error {
	if err := statefile.EnsurePassage(s.dir); err != nil {
		return err
	}
	old, err := statefile.Entries(s.dir)
	for _, file := range old {
		err = errors.Join(err, statefile.Remove(filepath.Join(s.dir, file.Name)))
	}
	return errors.Join(err, statefile.Tidy(s.dir, 0))
}

func (s *statuses) remove(uid int) {
	delete(s.last, uid)
	if err := statefile.Remove(filepath.Join(s.dir, statusName(uid))); err != nil {
		s.log.Warn("the status of a user stays", zap.Int("uid", uid), zap.Error(err))
	}
}

// tell logs trouble once, until it is another one.
func (s *statuses) tell(err error) {
	said := ""
	if err != nil {
		said = err.Error()
	}
	if said != s.said && said != "" {
		s.log.Warn("not all users are told what keyreeve explain would say", zap.Error(err))
	}
	s.said = said
}

// refresh writes the statuses of those who have a process here, where they say something new or are old, and removes those of others.
func (s *statuses) refresh(now time.Time) error {
	world := s.world.Load()
	if world == nil {
		return nil
	}
	active, err := homes.ActiveUIDs()
	if err != nil {
		return err
	}
	users, here := make(map[int][]ownStatus), make(map[string]bool)
	for _, account := range world.Accounts() {
		if !active(account.UID) || users[account.UID] == nil && len(users) == mostStatuses {
			continue
		}
		users[account.UID] = append(users[account.UID], s.of(world, account))
		here[account.Name] = true
	}
	maps.DeleteFunc(s.taken, func(user string, _ taken) bool { return !here[user] })
	for uid := range s.last {
		if users[uid] == nil {
			s.remove(uid)
		}
	}
	var wrong []error
	for uid, list := range users {
		wrong = append(wrong, s.write(uid, list, now))
	}
	return errors.Join(wrong...)
}

// write writes one file, if need be.
func (s *statuses) write(uid int, list []ownStatus, now time.Time) error {
	text, err := json.Marshal(list)
	if had := s.last[uid]; err != nil || bytes.Equal(had.text, text) && now.Sub(had.at) < statusAge {
		return err
	}
	for i := range list {
		list[i].Written = now.UTC().Truncate(time.Second)
	}
	full, err := json.Marshal(list)
	if err == nil && len(full) > mostStatus {
		s.remove(uid) // it says what is no longer so
		err = fmt.Errorf("the status of uid %d would have %d bytes, which are more than it may have", uid, len(full))
	}
	if err == nil {
		err = statefile.PublishTo(s.dir, statusName(uid), append(plain.JSON(full), '\n'), uint32(uid)) //nolint:gosec // an account that passed Check
	}
	if err == nil {
		s.last[uid] = written{text, now}
	}
	return err
}

// of is the status of one account.
func (s *statuses) of(world *enforcer.World, account homes.Account) ownStatus {
	known := knownOf(world, account.Name)
	known.registry.Mode = s.modes.Load().of(account)
	d := ownStatus{
		Version: 1, User: account.Name, UID: account.UID, Away: world.Away(), Registry: explain.Listed(known.registry), Lines: []string{},
		Files: []string{}, Answered: s.answered, TrustsOwnGroups: s.trust, Removed: []explain.RemovedAnswer{}, Notes: append([]string{}, known.notes...),
	}
	for _, k := range known.registry.Keys {
		d.Lines = append(d.Lines, k.Key.String())
	}
	if sshd := s.sshd.Load(); sshd != nil {
		files, err := sshd.KeyFiles(account)
		d.Files = append(d.Files, files.Paths...)
		if err != nil {
			d.Notes = append(d.Notes, "not all files that sshd reads are known")
		}
	}
	lines, err := s.takenFrom(account.Name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.Notes = append(d.Notes, "not all that was taken out of files is known")
	}
	d.Removed = append(d.Removed, lines...)
	return d
}

// taken is what was taken out of a user's files by his last copies in quarantine.
type taken struct {
	copies []string
	lines  []explain.RemovedAnswer
}

// takenFrom reads a user's copies, which may be large, where there is one that it has not read yet.
func (s *statuses) takenFrom(user string) ([]explain.RemovedAnswer, error) {
	names, err := s.quarantine.Recent(user, statusCopies)
	if had := s.taken[user]; err != nil || slices.Equal(had.copies, names) {
		return had.lines, err
	}
	copies, err := s.quarantine.Newest(user, statusCopies)
	now := taken{copies: names}
	for _, r := range removed(copies, "") {
		now.lines = append(now.lines, explain.RemovedAnswer(r))
	}
	if err == nil {
		s.taken[user] = now
	}
	return now.lines, err
}

// start is keep in the background; the function that it returns ends that, and waits for it.
func (s *statuses) start(ctx context.Context) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.keep(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}
