package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os/user"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/keyreeve/keyreeve/internal/homes"
)

// maxKnown bounds how many accounts' groups are remembered.
const maxKnown = 100_000

// Groups knows the supplementary groups of accounts, as initgroups(3) gives them to a login.
type Groups struct {
	// Tell is called with the reason when getent gives no answer: once, until it gives one again.
	Tell func(error)

	program string // of getent, "" when this host has none
	mu      sync.Mutex
	known   map[string]membership
	told    bool
	until   time.Time // nobody is asked before
}

type membership struct {
	account homes.Account
	groups  []int
	good    bool // getent said so
	at      time.Time
}

// NewGroups looks for getent. tell may be nil.
func NewGroups(tell func(error)) *Groups {
	if tell == nil {
		tell = func(error) {}
	}
	return &Groups{Tell: tell, program: find("getent"), known: make(map[string]membership)}
}

// Of lists an account's supplementary groups. It asks getent, which goes through NSS, and remembers the answer for an
// hour, or until the account is another one. Without an answer the last good one counts, else /etc/group does.
func (g *Groups) Of(a homes.Account) ([]int, error) {
	g.mu.Lock()
	last, wait := g.known[a.Name], time.Until(g.until)
	g.mu.Unlock()
	mine := last.account == a
	if mine && last.good && time.Since(last.at) < lifetime || mine && wait > 0 {
		return last.groups, nil
	}
	now := membership{account: a, good: true, at: time.Now()}
	var err error
	if wait > 0 {
		err = errors.New("getent gave no answer a moment ago")
	} else {
		now.groups, err = g.ask(a.Name)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if err == nil {
		g.told = false
		g.remember(now)
		return now.groups, nil
	}
	if wait <= 0 {
		g.until = time.Now().Add(pause)
	}
	if !g.told {
		g.told = true
		g.Tell(err)
	}
	if mine && last.good {
		return last.groups, nil
	}
	now.good = false
	if now.groups, err = local(a); err != nil {
		return nil, err
	}
	g.remember(now)
	return now.groups, nil
}

// remember makes room by forgetting those who were not asked for lately, or everybody.
func (g *Groups) remember(m membership) {
	if len(g.known) >= maxKnown {
		maps.DeleteFunc(g.known, func(_ string, m membership) bool { return time.Since(m.at) > lifetime })
	}
	if len(g.known) >= maxKnown {
		clear(g.known)
	}
	g.known[m.account.Name] = m
}

// ask runs getent initgroups, which prints the name and the groups of getgrouplist(3). A user that NSS does not know has none;
// sshd lets him in as little as it lets in others that it does not know.
func (g *Groups) ask(name string) ([]int, error) {
	if g.program == "" {
		return nil, errors.New("this host has no getent")
	}
	out, err := run(context.Background(), g.program, "initgroups", name)
	if err != nil {
		return nil, err
	}
	words := strings.Fields(out)
	if len(words) == 0 || words[0] != name {
		return nil, fmt.Errorf("getent initgroups %s: an answer of %d bytes that is no list of groups", name, len(out))
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
