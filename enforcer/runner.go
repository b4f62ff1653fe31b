package enforcer

import (
	"context"
	"iter"
	"time"

	"go.uber.org/zap"

	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/policy"
	"github.com/keyreeve/keyreeve/registry"
)

// Source reads the whole registry, or says why it could not. A snapshot that comes with a nil error is complete.
type Source interface {
	Fetch(ctx context.Context) (*registry.Snapshot, error)
}

// Settings is what a new configuration may change while the daemon runs.
type Settings struct {
	Source Source
	// SourceID tells registries apart: settings with the same one read the same registry.
	SourceID string
	Policy   *policy.Policy
	Scope    Scope
	// Files lists the files that sshd reads for an account, as for a Looker.
	Files   func(homes.Account) (homes.KeyFiles, error)
	Install bool
	// Note says what users are told at the top of their files.
	Note NoteRules
	// Brake says how many people may lose registered keys in what time.
	Brake Brake
	// Act gives what carries out the plans of an account, or nil for one that is only looked at. It is asked in each look, from
	// many goroutines. Nil: all are only looked at. Looked, where it is set, is told of each look that had no act.
	Act    func(homes.Account) func(Plan) error
	Looked func(Result)
	// Entered, where it is set, is told of each new world before anything is decided by it, from the loop: it must not wait.
	Entered func(*World)
	// Hold is how much a reading may take from people. One older than MaxStale is told as stale; Refuse says that sshd is not to be
	// answered by it.
	Hold     Hold
	MaxStale time.Duration
	Refuse   bool
	// Refresh is the time between two readings of the registry, Sweep that between two looks at every home, FastCheck
	// that between two looks at the homes of users with a process on this host (0: none).
	Refresh, Sweep, FastCheck time.Duration
}

// Runner is the daemon's loop. All fields are set before Run and not changed afterwards.
type Runner struct {
	Homes   Homes
	Log     *zap.Logger
	Workers int
	// Hints names users whose homes were touched; an empty name means that hints were lost, and that every home is due.
	Hints <-chan string
	// Changes names users of whom the registry may have something new; an empty name means that anybody may be. They are read again.
	Changes <-chan string
	// Watch makes hints come for an account, Unwatch ends that. Watch is called before every look, from many goroutines,
	// so that nothing happens unseen between the look and the watch.
	Watch   func(homes.Account) error
	Unwatch func(user string)
	// Server says what serves a home, without asking it: homes that have the same one hang together.
	Server func(home string) string
	// Exceptions reads the policy's exceptions. With an error comes the list that stays in force.
	Exceptions func() ([]policy.Exception, error)
	// Memory is what was registered before, and whether the brake is on.
	Memory Memory
	// Active finds the uids that have a process on this host, and returns what tells whether one is among them.
	Active func() (func(uid int) bool, error)
	// Copies yields what was put into quarantine since a time, of a user or, without a name, of all: the oldest of each first.
	Copies func(user string, since time.Time) iter.Seq2[Copy, error]
	// Gate keeps the last good reading of the registry, and holds back one that lost too much.
	Gate *Gate
	// Ready is called once, when there is a reading to decide by, a new one or the last good one, and every home is due.
	Ready func()
	// Answer, where it is set, is told of each world by which sshd is to be answered, and of the moment from which on that counts no more (the
	// zero time: never), from the loop: it must not wait.
	Answer func(w *World, end time.Time)
	// Observe is told whenever the observation has changed, from the loop: it must not wait.
	Observe func(Observation)
	// Removed, where it is set, is told how long after the event that told of it a line went from a file, from many goroutines.
	Removed func(after time.Duration)

	reload   chan Settings
	poke     chan struct{}
	every    chan struct{}
	excepted chan struct{}
	braked   chan struct{}
	accepted chan struct{}
	amended  chan struct{}
	alive    chan struct{}
}

// NewRunner returns a runner without its fields set, but for one that knows of no exceptions and of nothing that was.
func NewRunner() *Runner {
	return &Runner{
		reload: make(chan Settings), poke: make(chan struct{}, 1), every: make(chan struct{}, 1), excepted: make(chan struct{}, 1), braked: make(chan struct{}, 1),
		accepted: make(chan struct{}, 1), amended: make(chan struct{}, 1), alive: make(chan struct{}),
		Exceptions: func() ([]policy.Exception, error) { return nil, nil }, Memory: Memory{Ledger: NewLedger()},
	}
}

// Reload replaces the settings and reads the registry again. It returns when the loop has taken them, or with ctx.
func (r *Runner) Reload(ctx context.Context, settings Settings) error {
	select {
	case r.reload <- settings:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Alive returns when the loop has taken something up, which shows that it runs, or with ctx. Homes and servers that hang do not hold it up: the
// loop waits for none of them.
func (r *Runner) Alive(ctx context.Context) error {
	select {
	case r.alive <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Poke asks for a reading of the registry now: its file changed.
func (r *Runner) Poke() { ask(r.poke) }

// Except asks for a reading of the exceptions now: their file changed.
func (r *Runner) Except() { ask(r.excepted) }

// Brake asks for a reading of the brake's state now: its file changed.
func (r *Runner) Brake() { ask(r.braked) }

// LookAtAll makes every home due: sshd reads other files now.
func (r *Runner) LookAtAll() { ask(r.every) }

func ask(what chan<- struct{}) {
	select {
	case what <- struct{}{}:
	default: // it is asked for already
	}
}
