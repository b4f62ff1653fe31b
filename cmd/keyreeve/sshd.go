package main

import (
	"context"
	"errors"
	"reflect"
	"time"

	"go.uber.org/zap"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/config"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/host"
	"github.com/keyreeve/keyreeve/internal/watch"
)

func newSSHD(c config.SSHD) *host.SSHD { return host.NewSSHD(c.Program, c.Configs) }

// keyFiles knows the files that sshd reads, with those that it finds by patterns.
type keyFiles struct {
	sshd *host.SSHD
	door *homes.Door
}

// of lists those of an account. Files that come with an error are what is in force in spite of it.
func (k keyFiles) of(account homes.Account) (homes.KeyFiles, error) {
	files, err := k.sshd.KeyFiles(account)
	files, wrong := k.door.Glob(account, files)
	return files, errors.Join(err, wrong)
}

// sshdOf is the sshd of a configuration: the one that was asked before, if it is named still.
func (s *service) sshdOf(c config.SSHD) *host.SSHD {
	if now := s.sshd.Load(); now != nil && reflect.DeepEqual(c, s.config.Homes.SSHD) {
		return now
	}
	return newSSHD(c)
}

// askSSHD makes sshd say which files are kept. What it said last outlives a new configuration that names the same sshd.
func (s *service) askSSHD(ctx context.Context, sshd *host.SSHD, h config.Homes, settings *enforcer.Settings) {
	s.sshd.Store(sshd)
	s.judged.Store(new(settings.Policy.Host()))
	if s.unfollow != nil {
		s.unfollow()
	}
	ctx, s.unfollow = context.WithCancel(ctx)
	s.followSSHD(ctx, s.sshd.Load(), h.Sweep)
	settings.Files = keyFiles{s.sshd.Load(), s.door}.of
}

// followSSHD has sshd asked now, and again whenever its configuration may have changed: by events, and every so often
// without. The homes are looked at when the files are others then. It returns when sshd was asked for the first time.
func (s *service) followSSHD(ctx context.Context, sshd *host.SSHD, every time.Duration) {
	f := follower{service: s, sshd: sshd, every: every}
	f.refresh(ctx)
	go func() {
		for ctx.Err() == nil {
			f.turn(ctx)
		}
	}()
}

// follower keeps one SSHD up to date.
type follower struct {
	*service
	sshd  *host.SSHD
	every time.Duration
	told  string // the last trouble
	wait  time.Duration
}

// turn waits for a reason to ask again, and does so. The watch is there before the question: what changes in between
// is seen by the one or the other.
func (f *follower) turn(ctx context.Context) {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	changes, err := watch.Folders(inner, f.sshd.Folders())
	if err != nil {
		f.log.Warn("sshd's configuration is not watched: a change waits for the sweep", zap.Error(err))
	}
	f.refresh(ctx)
	select {
	case <-ctx.Done():
	case <-changes:
		keepStill(changes)
	case <-time.After(f.wait):
	}
}

// askAgain is how long to wait before sshd is asked again after it gave no answer.
const askAgain = 30 * time.Second

func (f *follower) refresh(ctx context.Context) {
	changed, err := f.sshd.Refresh(ctx)
	f.wait = f.every
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		f.wait = min(f.every, askAgain)
		if f.told != err.Error() {
			f.told = err.Error()
			f.log.Error("sshd does not say which files it reads; its last good answer stays in force, and without one the two default files and those that its configuration names are kept", zap.Error(err))
		}
	case f.told != "":
		f.told = ""
		f.log.Info("sshd says again which files it reads")
	}
	switch now, err := hostOf(ctx, f.sshd); {
	case err != nil:
		f.log.Error("the names of this host are not known: keys are judged as before", zap.Error(err))
	case !reflect.DeepEqual(now, *f.judged.Load()):
		select {
		case f.moved <- struct{}{}:
		default:
		}
	}
	if changed {
		f.log.Info("sshd was asked which files it reads; the homes are looked at", zap.Strings("watched", f.sshd.Folders()))
		f.runner.LookAtAll()
	}
}
