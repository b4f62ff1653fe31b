package enforcer

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/policy"
	"github.com/keyreeve/keyreeve/registry"
)

// Scope says whose homes are kept.
type Scope struct {
	// MinUID is the least uid of an account that is kept without being named.
	MinUID int
	// Include names the accounts that are kept although their uid is lower or the registry does not know them.
	Include []string
	// Lookup finds an included account that the registry does not know.
	Lookup func(name string) (homes.Account, error)
	// Local lists the accounts that this host has of its own; nil: there are none.
	Local func() ([]homes.Account, error)
}

// Skip is an account that is left alone although it looks like one to keep.
type Skip struct {
	User string
	Why  string
}

// World is everything that decides about homes, at one moment: a registry snapshot, what the policy grants of it, and
// whose homes are kept. It is immutable.
type World struct {
	Snapshot *registry.Snapshot
	Grants   *policy.Grants
	*household

	scope  Scope          // by which it was made
	braked BrakeState     // by which it was made
	rules  Brake          // by which it was made
	stays  map[stay]bool  // what the brake holds
	away   bool           // the registry could not be read when it was made
	held   map[string]int // former keys that stay for the time being, by user
}

// household is whose homes are kept. It depends on the names, uids and homes in the registry, and on who left: worlds that differ in
// keys alone share it.
type household struct {
	accounts map[string]homes.Account
	twins    map[int][]homes.Account    // accounts by their uid, where several have one: those that are kept, and this host's own beside them
	shared   map[string][]homes.Account // accounts by their home, where several name one
	sharing  []homes.Account            // that are left alone for one reason only, a home and a uid that are another's too
	order    []homes.Account            // accounts by name: every sweep and fast check asks for them
	skips    []Skip
	aside    map[string]homes.Account   // of the registry, and who left it, that are left alone and nobody else's
	departed map[string]time.Time       // kept accounts whose users left the registry, and when
	claims   map[string][]homes.Account // by one who left: others, of other uids, whose entries name his home
}

// NewWorld finds the accounts to keep. Left alone, and listed by [World.Skips], are those whose registry entry cannot be
// acted on: below the least uid, without uid or home, with a name or a home that is not safe to use, with the home and the uid of another
// account, where one user's file would be judged by another's keys, or with the name of an account of this host that is another one.
// Users who departed are kept as long as their uid is no other account's; of two with one uid and one home the one who left last is.
func NewWorld(snapshot *registry.Snapshot, grants *policy.Grants, scope Scope, departed ...Gone) *World {
	return &World{Snapshot: snapshot, Grants: grants, household: keep(snapshot, scope, departed), scope: scope}
}

func keep(snapshot *registry.Snapshot, scope Scope, gone []Gone) *household {
	departed := slices.DeleteFunc(slices.Clone(gone), func(one Gone) bool { return one.Renamed })
	w := &household{
		accounts: make(map[string]homes.Account, snapshot.Len()+len(departed)), departed: make(map[string]time.Time), claims: make(map[string][]homes.Account),
	}
	local := w.local(scope)
	for user := range snapshot.Users() {
		account := accountOf(user)
		if user.UID >= 0 && user.UID < scope.MinUID && !slices.Contains(scope.Include, user.Name) {
			w.skip(user.Name, fmt.Sprintf("its uid %d is below %d", user.UID, scope.MinUID))
			continue
		}
		if claim := local.claims(account); claim != "" && user.UID >= 0 {
			w.skip(user.Name, claim)
			continue
		}
		w.add(account)
	}
	for _, name := range scope.Include {
		if _, known := snapshot.User(name); known {
			continue
		}
		account, err := scope.Lookup(name)
		if err != nil {
			if slices.ContainsFunc(departed, func(g Gone) bool { return g.Name == name }) {
				continue
			}
			w.skip(name, "it is included by name, but "+err.Error())
			continue
		}
		account.Home = homes.Tidy(account.Home)
		w.add(account)
	}
	w.dropShared()
	w.keepDeparted(snapshot, departed, scope, local)
	for _, name := range slices.Sorted(maps.Keys(w.accounts)) {
		w.order = append(w.order, w.accounts[name])
	}
	w.findTwins(local)
	w.setAside(snapshot, gone, local)
	slices.SortFunc(w.skips, func(a, b Skip) int { return strings.Compare(a.User, b.User) })
	return w
}

// local reads the accounts of this host. Without them nothing can be held against an entry; that is told.
func (w *household) local(scope Scope) locals {
	if scope.Local == nil {
		return locals{}
	}
	list, err := scope.Local()
	if err != nil {
		w.skip("(this host's)", "no entry was compared with the accounts of this host: "+err.Error())
	}
	return newLocals(list)
}

func (w *household) add(account homes.Account) {
	if err := account.Check(); err != nil {
		w.skip(account.Name, err.Error())
		return
	}
	w.accounts[account.Name] = account
}

func (w *household) skip(user, why string) { w.skips = append(w.skips, Skip{User: user, Why: why}) }

// dropShared leaves accounts alone that name one home and have one uid. Of others with one home it belongs to one at most, and each look
// finds out whose it is: who names another's home in his entry must not take that out of anybody's care.
func (w *household) dropShared() {
	owner := make(map[string]string, len(w.accounts))
	for name, account := range w.accounts {
		owner[account.Home] = name
	}
	if len(owner) == len(w.accounts) {
		return // as nearly always
	}
	w.shared = make(map[string][]homes.Account)
	for _, name := range slices.Sorted(maps.Keys(w.accounts)) {
		account := w.accounts[name]
		w.shared[account.Home] = append(w.shared[account.Home], account)
	}
	for _, home := range slices.Sorted(maps.Keys(w.shared)) {
		list := w.shared[home]
		if len(list) == 1 {
			delete(w.shared, home)
			continue
		}
		for _, one := range list {
			at := slices.IndexFunc(list, func(other homes.Account) bool { return other.UID == one.UID && other != one })
			if at >= 0 {
				w.skip(one.Name, fmt.Sprintf("its home %s is that of %s too", home, list[at].Name))
				w.sharing = append(w.sharing, one)
				delete(w.accounts, one.Name)
			}
		}
	}
}

// accountOf is the account of an entry.
func accountOf(user registry.User) homes.Account {
	return homes.Account{Name: user.Name, UID: user.UID, GID: user.GID, Home: homes.Tidy(user.Home)}
}

// findTwins lists the accounts that share a uid: a path that sshd makes of the uid alone is one file for all of them, and
// their homes may be one directory. An account of this host of another name has one too: it may have been given the uid of somebody
// who left the registry, by whose lack of keys its file would be judged.
func (w *household) findTwins(local locals) {
	w.twins = make(map[int][]homes.Account)
	first := make(map[int]homes.Account, len(w.accounts))
	add := func(account homes.Account) {
		if w.twins[account.UID] == nil {
			w.twins[account.UID] = []homes.Account{first[account.UID]}
		}
		w.twins[account.UID] = append(w.twins[account.UID], account)
	}
	for _, account := range w.order {
		if _, taken := first[account.UID]; taken {
			add(account)
		} else {
			first[account.UID] = account
		}
	}
	for name, own := range local.byName {
		for _, account := range own {
			if _, taken := first[account.UID]; taken && w.accounts[name].UID != account.UID {
				add(account)
			}
		}
	}
}

// Looker looks at the homes of this world by its grants.
func (w *World) Looker(on Homes) Looker {
	return Looker{Homes: on, Grants: w.Grants, twins: w.twins, shared: w.shared, departed: w.departed, claims: w.claims}
}

// Account returns the account of a user whose home is kept.
func (w *World) Account(user string) (homes.Account, bool) {
	account, ok := w.accounts[user]
	return account, ok
}

// Away reports whether the registry could not be read when the world was made.
func (w *World) Away() bool { return w.away }

// Departed lists the kept accounts whose users left the registry, and when that was read. The map is not the caller's to change.
func (w *World) Departed() map[string]time.Time { return w.departed }

// Accounts lists the kept accounts in the order of their names. The list is not the caller's to change.
func (w *World) Accounts() []homes.Account { return w.order }

// Skips lists the accounts that are left alone, in the order of their names.
func (w *World) Skips() []Skip { return w.skips }

// Exceptions lists the exceptions of the grants, and says of those that grant nothing why.
func (w *World) Exceptions() []policy.Excepted {
	list := slices.Clone(w.Grants.Exceptions())
	for i, e := range list {
		if _, kept := w.accounts[e.User]; !kept && e.Idle == "" {
			list[i].Idle = "the account is left alone"
		}
	}
	return list
}

// changed names the kept accounts of w that were other ones in old, or are granted other keys there, or of which there is something
// else to be asked (another account has, or had, their uid; their user left, or came back); all of them where old is nil. Among names
// those who may be granted others; nil: anybody.
func (w *World) changed(old *World, among []string) []string {
	var names []string
	if among != nil && old != nil && old.household == w.household {
		for _, name := range among {
			if _, kept := w.accounts[name]; kept && !slices.Equal(old.Grants.For(name), w.Grants.For(name)) {
				names = append(names, name)
			}
		}
		return names
	}
	for name, account := range w.accounts {
		if old == nil || old.accounts[name] != account || !slices.Equal(old.Grants.For(name), w.Grants.For(name)) || !sameAround(old, w, account) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// sameAround reports whether two worlds have a kept account beside the same others of its uid, and as one whose user left in both or
// in neither.
func sameAround(a, b *World, account homes.Account) bool {
	_, before := a.departed[account.Name]
	_, now := b.departed[account.Name]
	return before == now && slices.Equal(a.twins[account.UID], b.twins[account.UID])
}

// left names the accounts that old kept and w does not.
func (w *World) left(old *World) []string {
	if old.household == w.household {
		return nil
	}
	var names []string
	for name := range old.accounts {
		if _, ok := w.accounts[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// heldKeys is how many former keys stay for the time being.
func (w *World) heldKeys() int {
	n := 0
	for _, of := range w.held {
		n += of
	}
	return n
}
