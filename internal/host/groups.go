package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/keyreeve/keyreeve/internal/homes"
)

const (
	// maxKnown bounds how many accounts' groups are remembered.
	maxKnown = 100_000
	// recheck is how long an answer counts that NSS did not give.
	recheck = 15 * time.Minute
)

// errUnknown says that NSS does not know an account: sshd lets nobody in by that name.
var errUnknown = errors.New("no such account")

// Groups knows the supplementary groups of accounts, as initgroups(3) gives them to a login. It is safe for concurrent use.
type Groups struct {
	tell    func(error)
	program string // getent; "" when this host has none

	mu    sync.Mutex
	known map[string]membership
	told  bool
	pause time.Time // nobody is asked before
}

type membership struct {
	account homes.Account
	groups  []int
	until   time.Time
}

// NewGroups looks for getent. tell is called with the reason when getent gives no answer: once, until it gives one again.
func NewGroups(tell func(error)) *Groups {
	return &Groups{tell: tell, program: find("getent"), known: make(map[string]membership)}
}

// Of lists an account's supplementary groups. It asks getent, which goes through NSS, and remembers the answer for an
// hour, or until the account is another one. Without an answer the last one counts, else /etc/group does.
func (g *Groups) Of(a homes.Account) ([]int, error) {
	g.mu.Lock()
	last, waits := g.known[a.Name], time.Now().Before(g.pause)
	g.mu.Unlock()
	mine := last.account == a
	if mine && time.Now().Before(last.until) {
		return last.groups, nil
	}
	now := membership{account: a, until: time.Now().Add(lifetime)}
	err := errors.New("getent gave no answer a moment ago")
	if !waits {
		now.groups, err = g.ask(a)
	}
	if err != nil {
		now.until = time.Now().Add(recheck)
	}
	if err != nil && mine {
		now.groups = last.groups
	} else if err != nil && !errors.Is(err, errUnknown) {
		var wrong error
		if now.groups, wrong = local(a); wrong != nil {
			return nil, errors.Join(err, wrong)
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.remember(now)
	switch {
	case waits:
	case err == nil || errors.Is(err, errUnknown):
		g.told = false
	default:
		g.pause = time.Now().Add(pause)
		if !g.told {
			g.told = true
			g.tell(err)
		}
	}
	return now.groups, nil
}

// remember makes room by forgetting those who were not asked for lately, or everybody.
func (g *Groups) remember(m membership) {
	if len(g.known) >= maxKnown {
		maps.DeleteFunc(g.known, func(_ string, m membership) bool { return time.Now().After(m.until) })
	}
	if len(g.known) >= maxKnown {
		clear(g.known)
	}
	g.known[m.account.Name] = m
}

// ask runs getent. "passwd" first: groups belong to a name, and the name may be another account's here than in the registry, whose
// groups are then no affair of this uid. It ends with 2 when there is no entry (getent(1)). "initgroups" prints the name
// and what getgrouplist(3) gives.
func (g *Groups) ask(a homes.Account) ([]int, error) {
	if g.program == "" {
		return nil, errors.New("this host has no getent")
	}
	out, err := run(context.Background(), g.program, "passwd", a.Name)
	if exit, ended := errors.AsType[*exec.ExitError](err); ended && exit.ExitCode() == 2 {
		return nil, errUnknown
	}
	if err != nil {
		return nil, err
	}
	if fields := strings.Split(out, ":"); len(fields) < 3 || fields[0] != a.Name || fields[2] != strconv.Itoa(a.UID) {
		return nil, errUnknown
	}
	if out, err = run(context.Background(), g.program, "initgroups", a.Name); err != nil {
		return nil, err
	}
	words := strings.Fields(out)
	if len(words) == 0 || words[0] != a.Name {
		return nil, fmt.Errorf("getent initgroups %s: an answer of %d bytes that is no list of groups", a.Name, len(out))
	}
	return numbers(words[1:])
}

// local reads /etc/group.
func local(a homes.Account) ([]int, error) {
	u := user.User{Username: a.Name, Uid: strconv.Itoa(a.UID), Gid: strconv.Itoa(a.GID)}
	words, err := u.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("groups of %s: %w", a.Name, err)
	}
	return numbers(words)
}

func numbers(words []string) ([]int, error) {
	list := make([]int, len(words))
	for i, word := range words {
		n, err := strconv.ParseUint(word, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("a group: %w", err)
		}
		list[i] = int(n)
	}
	return list, nil
}
