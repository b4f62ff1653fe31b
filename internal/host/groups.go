package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/keyreeve/keyreeve/internal/homes"
)

const (
	// maxKnown bounds how many accounts' groups are remembered, some hundred bytes each. Where there are more, old
	// answers are forgotten, and /etc/group counts for who is asked for while NSS fails.
	maxKnown = 1_000_000
	// recheck is how long an answer counts that NSS did not give.
	recheck = 15 * time.Minute
)

var (
	// errUnknown says that NSS does not know an account, which it says while a directory is away too.
	errUnknown = errors.New("no such account")
	// errOther says that the name is another account's here: its groups are no affair of this one.
	errOther = errors.New("the name is another account's")
)

var (
	errNoGroup  = errors.New("this host knows no group")
	errNoGetent = errors.New("this host has no getent")
	errWaits    = errors.New("getent gave no answer a moment ago")
)

// Groups knows the supplementary groups of accounts, as initgroups(3) gives them to a login. It is safe for concurrent use.
type Groups struct {
	tell    func(error)
	program string // getent; "" when this host has none

	mu    sync.Mutex
	known map[string]membership
	gids  map[string]group
	told  bool
	pause time.Time // nobody is asked before
}

type membership struct {
	account homes.Account
	primary int
	groups  []int
	sure    bool // NSS has said so, now or before
	until   time.Time
}

// NewGroups looks for getent. tell is called with the reason when getent gives no answer: once, until it gives one again.
func NewGroups(tell func(error)) *Groups {
	return &Groups{tell: tell, program: find("getent"), known: make(map[string]membership), gids: make(map[string]group)}
}

// Of lists an account's supplementary groups. It asks getent, which goes through NSS, and remembers the answer for an
// hour, or until the account is another one. Without an answer the last one counts, else /etc/group does.
func (g *Groups) Of(a homes.Account) ([]int, error) {
	m, err := g.of(a)
	return m.groups, err
}

func (g *Groups) of(a homes.Account) (membership, error) {
	g.mu.Lock()
	last, waits := g.known[a.Name], time.Now().Before(g.pause)
	g.mu.Unlock()
	mine := last.account == a
	if mine && time.Now().Before(last.until) {
		return last, nil
	}
	now, err := membership{}, errWaits
	if !waits {
		now, err = g.ask(a)
	}
	now.account, now.sure, now.until = a, err == nil, time.Now().Add(lifetime)
	if err != nil && mine {
		now = last
	} else if err != nil && !errors.Is(err, errOther) {
		var wrong error
		if now.groups, wrong = local(a); wrong != nil {
			return membership{}, errors.Join(err, wrong)
		}
	}
	if err != nil {
		now.until = time.Now().Add(recheck)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.remember(now)
	switch {
	case waits:
	case err == nil || errors.Is(err, errUnknown) || errors.Is(err, errOther):
		g.told = false
	default:
		g.pause = time.Now().Add(pause)
		if !g.told {
			g.told = true
			g.tell(err)
		}
	}
	return now, nil
}

// In reports whether an account is in a group, by its primary group too. Not known means that NSS has not said so, now or before:
// neither a failure nor that it does not know the account or the group is an answer, since it says the latter as well while a
// directory is away.
func (g *Groups) In(a homes.Account, name string) (is, known bool) {
	gid, err := g.GID(name)
	if err != nil {
		return false, false
	}
	m, err := g.of(a)
	if err != nil || !m.sure {
		return false, false
	}
	return gid == m.primary || slices.Contains(m.groups, gid), true
}

// Expire has everything asked anew. What was known counts until there is another answer.
func (g *Groups) Expire() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for name, m := range g.known {
		m.until = time.Time{}
		g.known[name] = m
	}
	for name, m := range g.gids {
		m.until = time.Time{}
		g.gids[name] = m
	}
	g.pause = time.Time{}
}

// group is what NSS last said of one.
type group struct {
	gid   int
	err   error
	stale bool // it is an earlier answer, and that was told
	until time.Time
}

// GID is the number of a group. It is asked of getent and remembered like the groups of an account; the last answer outlives a
// failure.
func (g *Groups) GID(name string) (int, error) {
	g.mu.Lock()
	last, asked := g.gids[name]
	waits := time.Now().Before(g.pause)
	g.mu.Unlock()
	if asked && time.Now().Before(last.until) {
		return last.gid, last.err
	}
	gid, err := 0, fmt.Errorf("the group %s: %w", name, errWaits)
	if !waits {
		gid, err = g.askGroup(name)
	}
	now := group{gid: gid, err: err, until: time.Now().Add(lifetime)}
	if err != nil {
		now.until = time.Now().Add(pause)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil && !waits && !errors.Is(err, errNoGroup) {
		g.pause = now.until
	}
	if err != nil && asked && last.err == nil {
		now.gid, now.err, now.stale = last.gid, nil, true
		if !last.stale {
			g.tell(fmt.Errorf("%w; its last number %d counts", err, last.gid))
		}
	}
	g.gids[name] = now
	return now.gid, now.err
}

// askGroup asks getent for a group: "name:password:gid:members" (group(5)).
//
//nolint:contextcheck,nolintlint // a look has no context, and one question its own bound; the directive stands for all callers
func (g *Groups) askGroup(name string) (int, error) {
	if g.program == "" {
		return 0, fmt.Errorf("the group %s: %w", name, errNoGetent)
	}
	out, err := run(context.Background(), g.program, "group", name)
	if exit, ended := errors.AsType[*exec.ExitError](err); ended && exit.ExitCode() == 2 {
		return 0, fmt.Errorf("%w %s", errNoGroup, name)
	}
	if err != nil {
		return 0, fmt.Errorf("the group %s: %w", name, err)
	}
	fields := strings.Split(out, ":")
	if len(fields) < 3 || fields[0] != name {
		return 0, fmt.Errorf("the group %s: an answer of %d bytes that is no entry of it", name, len(out)) // as for a number
	}
	gid, err := numbers(fields[2:3])
	if err != nil {
		return 0, fmt.Errorf("the group %s: %w", name, err)
	}
	return gid[0], nil
}

// remember makes room for somebody new by forgetting those who were not asked for lately, or everybody.
func (g *Groups) remember(m membership) {
	if _, there := g.known[m.account.Name]; !there && len(g.known) >= maxKnown {
		maps.DeleteFunc(g.known, func(_ string, m membership) bool { return time.Now().After(m.until) })
		if len(g.known) >= maxKnown {
			clear(g.known)
		}
	}
	g.known[m.account.Name] = m
}

// ask runs getent. "passwd" first: groups belong to a name, and the name may be another account's here than in the registry, whose
// groups are then no affair of this uid. It ends with 2 when there is no entry (getent(1)). "initgroups" prints the name
// and what getgrouplist(3) gives.
//
//nolint:contextcheck,nolintlint // as for askGroup
func (g *Groups) ask(a homes.Account) (m membership, err error) {
	if g.program == "" {
		return m, errNoGetent
	}
	out, err := run(context.Background(), g.program, "passwd", a.Name)
	if exit, ended := errors.AsType[*exec.ExitError](err); ended && exit.ExitCode() == 2 {
		return m, errUnknown
	}
	if err != nil {
		return m, err
	}
	fields := strings.Split(out, ":")
	if len(fields) < 4 || fields[0] != a.Name || fields[2] != strconv.Itoa(a.UID) {
		return m, errOther
	}
	primary, err := numbers(fields[3:4])
	if err != nil {
		return m, err
	}
	if out, err = run(context.Background(), g.program, "initgroups", a.Name); err != nil {
		return m, err
	}
	words := strings.Fields(out)
	if len(words) == 0 || words[0] != a.Name {
		return m, fmt.Errorf("getent initgroups %s: an answer of %d bytes that is no list of groups", a.Name, len(out))
	}
	groups, err := numbers(words[1:])
	return membership{primary: primary[0], groups: groups}, err
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
