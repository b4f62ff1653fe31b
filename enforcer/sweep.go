package enforcer

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/keyreeve/keyreeve/internal/homes"
)

// errGivenUp keeps a look from changing anything whose end nobody waits for any more.
var errGivenUp = errors.New("the look was given up before")

// sweep is the state of one Sweep. Its looks are known by their number, which is that of the account.
type sweep struct {
	Looker
	accounts []homes.Account
	act      func(homes.Account) func(Plan) error
	dog      *watchdog
	begun    int
	results  []*Result // nil: not known yet, or yielded
	given    []atomic.Bool
	done     chan swept
}

type swept struct {
	number int
	result Result
}

// Sweep looks at all accounts with a number of workers, each with its own Act where act is given, and yields the results in the
// order of the accounts, as soon as they are known; it looks ahead of the first that is not yielded by no more than that number. A home
// that is silent for as long as the daemon's loop would wait is given up, and its result is an error; so is at once one whose file server
// has many of those. When ctx ends, no further look begins, those that have begun are given a few seconds to end, what is known is yielded,
// and the error says how far it came.
func (l Looker) Sweep(ctx context.Context, accounts []homes.Account, workers int, act func(homes.Account) func(Plan) error, yield func(Result)) error {
	server := l.Server
	if server == nil {
		server = func(home string) string { return home }
	}
	s := &sweep{
		Looker: l, accounts: accounts, act: act, dog: newWatchdog(server),
		results: make([]*Result, len(accounts)), given: make([]atomic.Bool, len(accounts)), done: make(chan swept, len(accounts)),
	}
	defer s.dog.check.Stop()
	for next := 0; next < len(accounts); {
		for s.begun < min(next+max(workers, 1), len(accounts)) && ctx.Err() == nil {
			s.begin()
		}
		if s.take(next, yield) {
			next++
			continue
		}
		select {
		case e := <-s.done:
			s.end(e)
		case <-s.dog.check.C:
			s.patrol()
		case <-ctx.Done():
			return fmt.Errorf("ended after %d of %d accounts: %w", s.finish(next, yield), len(accounts), ctx.Err())
		}
	}
	return nil
}

// begin begins the next look.
func (s *sweep) begin() {
	number, account := s.begun, s.accounts[s.begun]
	s.begun++
	mark := homes.Account{Name: strconv.Itoa(number), Home: account.Home}
	if s.dog.park(mark) {
		s.fail(number, "the home %s is not looked at: others of its file server do not answer", account.Home)
		return
	}
	s.dog.begin(mark)
	look := s.Looker
	go func() {
		if s.act != nil {
			look.Act = s.act(account)
		}
		if carry := look.Act; carry != nil {
			look.Act = func(p Plan) error {
				if s.given[number].Load() {
					return errGivenUp
				}
				return carry(p)
			}
		}
		s.done <- swept{number, look.Look(account)}
	}()
}

func (s *sweep) end(e swept) {
	if !s.dog.end(strconv.Itoa(e.number)) { // else it was given up
		s.results[e.number] = &e.result
	}
}

// patrol gives up the looks that do not come back.
func (s *sweep) patrol() {
	for len(s.done) > 0 {
		s.end(<-s.done)
	}
	s.dog.patrol(func(mark string, look *look) {
		number, _ := strconv.Atoi(mark)
		s.given[number].Store(true)
		s.fail(number, "the home %s does not answer: it was given up after %v", look.home, lookLimit)
	})
}

// fail is a look that came to nothing.
func (s *sweep) fail(number int, format string, args ...any) {
	s.results[number] = &Result{Account: s.accounts[number], Err: errors.Join(fmt.Errorf(format, args...))}
}

// take yields a result that is known.
func (s *sweep) take(number int, yield func(Result)) bool {
	r := s.results[number]
	if r == nil {
		return false
	}
	s.results[number] = nil
	yield(*r)
	return true
}

// finish waits for the looks that have begun, but not for ever, yields their results, and counts all that were.
func (s *sweep) finish(yielded int, yield func(Result)) int {
	limit := time.After(farewell)
	for waits := true; waits && len(s.dog.looks) > s.dog.all; {
		select {
		case e := <-s.done:
			s.end(e)
		case <-s.dog.check.C:
			s.patrol()
		case <-limit:
			waits = false
		}
	}
	for number := yielded; number < s.begun; number++ {
		if s.take(number, yield) {
			yielded++
		}
	}
	return yielded
}
