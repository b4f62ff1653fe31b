package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/watch"
	"github.com/keyreeve/keyreeve/ldapsource"
)

// watchTries bounds how often the directories of an account are looked for when they change while their watches are set.
const watchTries = 4

// watch sets the watches of an account with that account's rights. The directories are looked for once more when they are
// watched: one that was exchanged between the look and its watch gave no event. A directory that cannot be found keeps none
// of the others from being watched.
func (s *service) watch(account homes.Account) error {
	dirs, _, err := s.dirs(account)
	for range watchTries {
		wrong := s.setWatches(account, dirs)
		if errors.Is(wrong, homes.ErrStuck) || errors.Is(wrong, homes.ErrSilent) {
			return errors.Join(wrong, err) // the look gets past it, or tells
		}
		before := dirs
		var missing bool
		dirs, missing, err = s.dirs(account)
		if slices.EqualFunc(before, dirs, func(a, b homes.Dir) bool { return a.Path == b.Path && slices.Equal(a.Names, b.Names) }) {
			if missing && err == nil {
				return nil // there is nothing whose changes could be missed; the sweep finds the home
			}
			return errors.Join(wrong, err)
		}
	}
	return errors.Join(errors.New("its directories keep changing"), err)
}

// setWatches sets the watches of an account. A directory may have been exchanged, since it was found, for one that its user holds.
func (s *service) setWatches(account homes.Account, dirs []homes.Dir) error {
	as := func(fn func() error) error { return s.door.Attend(account, fn) }
	var unveil watch.Unveil
	if s.modes.Load().enforce(account) { // else nothing is changed in a home, its mode included
		unveil = func(path string, fn func() error) error { return s.door.Unveil(account, path, fn) }
	}
	list := make([]watch.Dir, len(dirs))
	for i, dir := range dirs {
		list[i] = watch.Dir(dir)
	}
	return s.watcher.Set(account.Name, as, unveil, list)
}

// dirs are the directories to watch for an account: those of its files and, while it has no home, the one in which that may
// appear. Whatever keeps sshd from saying which files it reads is told by the look.
func (s *service) dirs(account homes.Account) (dirs []homes.Dir, missing bool, err error) {
	files, _ := s.sshd.Load().KeyFiles(account)
	dirs, err = s.door.Dirs(account, files.Paths...)
	if errors.Is(err, homes.ErrNoHome) {
		var above []homes.Dir
		above, err = s.door.Above(account)
		dirs, missing = append(dirs, above...), true
	}
	return dirs, missing, err
}

// watchMounts makes hints of mounts that come or go, until ctx ends.
func (s *service) watchMounts(ctx context.Context) {
	if err := homes.Mounted(ctx, s.watcher.Mounted); err != nil {
		s.log.Warn("mounts are not watched: what one has hidden or shown waits for the sweep", zap.Error(err))
	}
}

// watchRegistry makes a change in the registry count at once.
func (s *service) watchRegistry(ctx context.Context, source enforcer.Source) {
	if s.unwatch != nil {
		s.unwatch()
		s.unwatch = nil
	}
	inner, cancel := context.WithCancel(ctx)
	if directory, ok := source.(*ldapsource.LDAP); ok {
		s.unwatch = cancel
		s.metrics.noticing(ldapsource.ByRefresh)
		directory.Noticing = s.noticing
		go directory.Watch(inner, func(user string) {
			s.metrics.noticed()
			select {
			case s.changes <- user:
			case <-inner.Done():
			}
		})
		return
	}
	if err := watchFile(inner, s.config.Registry.LDIF.Path, s.runner.Poke); err != nil {
		cancel()
		s.log.Warn("the registry's file is not watched: a change waits for the refresh", zap.Error(err))
		return
	}
	s.unwatch = cancel
}

// noticing says how changes in the directory are noticed.
func (s *service) noticing(server string, by ldapsource.Way, err error) {
	s.metrics.noticing(by)
	switch by {
	case ldapsource.BySync:
		s.log.Info("the server tells of changes in the registry", zap.String("server", server))
	case ldapsource.ByPoll:
		s.log.Info("the server is asked for changes in the registry: it does not tell of them", zap.String("server", server),
			zap.Error(err))
	case ldapsource.ByRefresh:
		s.log.Warn("changes in the registry wait for the next reading of all of it", zap.String("server", server), zap.Error(err))
	}
}

// watchOwn has the loop read again what other commands write for it.
func (s *service) watchOwn(ctx context.Context) {
	if err := watchFile(ctx, exceptionsPath(s.config), s.runner.Except); err != nil {
		s.log.Warn("the exceptions are not watched: a change waits for the refresh", zap.Error(err))
	}
	if err := watchFile(ctx, brakePath(s.config), s.runner.Brake); err != nil {
		s.log.Warn("the brake's file is not watched: a release waits for the refresh", zap.Error(err))
	}
	if err := watchFile(ctx, enforcer.AcceptedPath(registryDir(s.config)), s.runner.Accepted); err != nil {
		s.log.Warn("acceptances are not watched for: one waits for the refresh", zap.Error(err))
	}
}

// watchFile calls fn after every change of a file, until ctx ends.
func watchFile(ctx context.Context, path string, fn func()) error {
	changes, err := watch.File(ctx, path)
	if err != nil {
		return err
	}
	go func() {
		for range changes {
			keepStill(changes)
			fn()
		}
	}()
	return nil
}

// settle is how long a file has to keep still before it is read. Who writes it in many small steps, each of which
// opens and closes it, is not seen by the check for an open writer.
const settle = time.Second

// restless is how long a file may be changed again and again before it is read as it is.
const restless = time.Minute

// keepStill returns when no change has come for that long, or when they do not end.
func keepStill(changes <-chan struct{}) {
	limit := time.After(restless)
	for {
		select {
		case _, more := <-changes:
			if !more {
				return
			}
		case <-time.After(settle):
			return
		case <-limit:
			return
		}
	}
}
