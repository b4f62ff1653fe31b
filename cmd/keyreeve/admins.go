package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/config"
	"github.com/keyreeve/keyreeve/internal/homes"
)

const (
	// adminPatience is how long a look at an administrator may take. Looks at homes wait for it, and a look counts as silent
	// after five seconds.
	adminPatience = 3 * time.Second
	// adminsAgain is how long the daemon waits before it asks again whether one could log in.
	adminsAgain = 30 * time.Second
)

// admins knows who must not be locked out. It is safe for concurrent use.
type admins struct {
	names []string
	busy  sync.Map // by name, looks that have not come back: each may hold a thread for as long as a file server is dead
}

// check is an error where no administrator would have a key that logs in by a world, if those whose mode is enforce are kept.
func (a *admins) check(ctx context.Context, world *enforcer.World, look enforcer.Looker, mode func(homes.Account) string) error {
	ctx, cancel := context.WithTimeout(ctx, adminPatience)
	defer cancel()
	list := make([]enforcer.Admin, len(a.names))
	var looks sync.WaitGroup
	for i, name := range a.names {
		looks.Go(func() {
			list[i].Name = name
			var account homes.Account
			if account, list[i].Kept, list[i].Err = find(world, name); list[i].Err != nil {
				return
			}
			list[i].Kept = list[i].Kept && mode(account) == config.Enforce
			list[i].Result, list[i].Err = a.look(ctx, look, account)
		})
	}
	looks.Wait()
	return enforcer.CheckAdmins(list, world.Grants)
}

// checkAdmins is an error where no administrator could log in when the accounts whose mode is enforce are in line.
func (one *pass) checkAdmins(ctx context.Context, mode func(homes.Account) string) error {
	list := admins{names: one.config.Admins}
	return list.check(ctx, one.world, one.looker(), mode)
}

// look looks at an account without an act, and waits for that no longer than ctx.
func (a *admins) look(ctx context.Context, look enforcer.Looker, account homes.Account) (enforcer.Result, error) {
	silent := fmt.Errorf("his home %s does not answer", account.Home)
	if _, busy := a.busy.LoadOrStore(account.Name, true); busy {
		return enforcer.Result{}, silent
	}
	results := make(chan enforcer.Result, 1)
	go func() {
		defer a.busy.Delete(account.Name)
		results <- look.Look(account)
	}()
	select {
	case result := <-results:
		return result, nil
	case <-ctx.Done():
		return enforcer.Result{}, silent
	}
}

// find finds an account and says whether it is kept. One that is not is looked for in /etc/passwd first, as sshd does.
func find(world *enforcer.World, name string) (account homes.Account, kept bool, err error) {
	if account, kept = world.Account(name); kept {
		return account, true, nil
	}
	if account, err = lookup(name); err != nil {
		u, known := world.Snapshot.User(name)
		if !known {
			return account, false, errors.New("neither the registry nor /etc/passwd knows him")
		}
		account = homes.Account{Name: u.Name, UID: u.UID, GID: u.GID, Home: homes.Tidy(u.Home)}
	}
	return account, false, account.Check()
}

// alike reports whether what is asked of two worlds is the same: nothing in them differs about any administrator.
func (a *admins) alike(world, other *enforcer.World) bool {
	return !slices.ContainsFunc(a.names, func(name string) bool {
		is, there := world.Snapshot.User(name)
		was, before := other.Snapshot.User(name)
		return there != before || !is.Equal(was) || !world.Alike(other, name)
	})
}

// latch keeps files from being changed until an administrator would be able to log in then. Once open it stays open: whoever is
// an administrator, or can make their homes unreadable, would stop enforcing for all otherwise. A nil latch is open.
//
// One check runs at a time, and a new world does not end it: anybody who changes in the registry makes one, and could keep enforcing from
// beginning.
type latch struct {
	ctx   context.Context //nolint:containedctx // of the settings that the latch belongs to
	check func(context.Context, *enforcer.World) error
	alike func(world, other *enforcer.World) bool // a check of one is a check of the other
	tell  func(error)                             // why it stays shut, or nil when it opens after it did

	mu    sync.Mutex
	open  bool
	shut  bool            // it was found shut, and that was told
	world *enforcer.World // the last one
	asked chan struct{}   // closed when the check has ended that is under way; nil: none is
	turn  int             // counts the checks that have begun
}

// enter asks whether the latch may open by a new world. It does not wait.
func (l *latch) enter(world *enforcer.World) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open || l.ctx.Err() != nil {
		return
	}
	if l.world = world; l.asked == nil {
		l.asked = make(chan struct{})
		l.turn++
		go l.ask(world)
	}
}

// ask checks a world, and the last one after it if that differs in what counts.
func (l *latch) ask(world *enforcer.World) {
	for world != nil {
		world = l.conclude(l.check(l.ctx, world), world)
	}
}

// conclude opens the latch, or asks again after a while. It gives the world that is to be checked instead, if the outcome is not that of
// the last one.
func (l *latch) conclude(err error, world *enforcer.World) *enforcer.World {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx.Err() == nil && !l.alike(l.world, world) {
		return l.world
	}
	close(l.asked)
	if l.asked = nil; l.ctx.Err() != nil {
		return nil
	}
	if l.open = err == nil; l.open {
		l.world = nil
	}
	if l.open && !l.shut {
		return nil
	}
	l.tell(err)
	if l.shut = true; l.open {
		return nil
	}
	turn := l.turn
	time.AfterFunc(adminsAgain, func() {
		l.mu.Lock()
		world, last := l.world, l.turn == turn
		l.mu.Unlock()
		if last {
			l.enter(world)
		}
	})
	return nil
}

// isOpen reports whether files may be changed. It waits for a check that is under way.
func (l *latch) isOpen() bool {
	if l == nil {
		return true
	}
	l.mu.Lock()
	open, asked := l.open, l.asked
	l.mu.Unlock()
	if open || asked == nil {
		return open
	}
	<-asked
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open
}

// newLatch makes the latch of a configuration; nil where nobody has to be asked for.
func (s *service) newLatch(ctx context.Context, m *modes, settings enforcer.Settings) *latch {
	if len(m.config.Admins) == 0 || !m.config.Enforces() {
		return nil
	}
	list, told := admins{names: m.config.Admins}, ""
	return &latch{
		ctx: ctx,
		check: func(ctx context.Context, world *enforcer.World) error {
			look := world.Looker(s.door)
			look.Files, look.Install = settings.Files, settings.Install
			return list.check(ctx, world, look, m.of)
		},
		alike: list.alike,
		tell: func(err error) {
			s.metrics.refuse(err != nil)
			switch {
			case err == nil:
				s.log.Info("an administrator can log in: enforcing begins")
				s.runner.LookAtAll()
			case err.Error() != told:
				told = err.Error()
				s.log.Error("enforcing does not begin: nothing is changed until an administrator could log in", zap.Error(err))
			}
		},
	}
}
