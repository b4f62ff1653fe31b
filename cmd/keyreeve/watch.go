package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/keyreeve/keyreeve/internal/config"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/watch"
)

// watchTries bounds how often the directories of an account are looked for when they change while their watches are set.
const watchTries = 4

// watch sets the watches of an account with that account's rights. The directories are looked for once more when they are
// watched: one that was exchanged between the look and its watch gave no event. A directory that cannot be found keeps none
// of the others from being watched.
func (s *service) watch(account homes.Account) error {
	dirs, _, err := s.dirs(account)
	as := func(fn func() error) error { return s.door.As(account, fn) }
	var unveil watch.Unveil
	if s.modes.Load().enforce(account) { // else nothing is changed in a home, its mode included
		unveil = func(path string, fn func() error) error { return s.door.Unveil(account, path, fn) }
	}
	for range watchTries {
		list := make([]watch.Dir, len(dirs))
		for i, dir := range dirs {
			list[i] = watch.Dir(dir)
		}
		wrong := s.watcher.Set(account.Name, as, unveil, list)
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

// watchRegistry makes a change of the registry's file count at once.
func (s *service) watchRegistry(ctx context.Context) {
	if s.unwatch != nil {
		s.unwatch()
		s.unwatch = nil
	}
	if s.config.Registry.Source != config.LDIFSource {
		return
	}
	inner, cancel := context.WithCancel(ctx)
	if err := watchFile(inner, s.config.Registry.LDIF.Path, s.runner.Poke); err != nil {
		cancel()
		s.log.Warn("the registry's file is not watched: a change waits for the refresh", zap.Error(err))
		return
	}
	s.unwatch = cancel
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

// keepStill returns when no change has come for that long.
func keepStill(changes <-chan struct{}) {
	for {
		select {
		case _, more := <-changes:
			if !more {
				return
			}
		case <-time.After(settle):
			return
		}
	}
}
