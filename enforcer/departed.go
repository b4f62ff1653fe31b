package enforcer

import (
	"fmt"
	"slices"

	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/registry"
)

// keepDeparted adds those who left the registry. Their keys go as soon as nobody else's are in question. Who names the home of somebody who
// left in his own entry must not give him his keys back: as with dropShared, each look finds out whose it is.
func (w *household) keepDeparted(snapshot *registry.Snapshot, departed []Gone, scope Scope, local locals) {
	if len(departed) == 0 {
		return
	}
	uids, dirs := make(map[int]bool), make(map[string][]homes.Account, len(departed))
	for _, gone := range departed {
		dirs[gone.Home] = nil
	}
	add := func(account homes.Account) {
		if list, asked := dirs[account.Home]; asked {
			dirs[account.Home] = append(list, account)
		}
	}
	for user := range snapshot.Users() {
		uids[user.UID] = true
		add(accountOf(user))
	}
	for _, name := range scope.Include { // the registry may not have them
		if a, kept := w.accounts[name]; kept {
			uids[a.UID] = true
			add(a)
		}
	}
	// Of whom it is by now is not told: he may rename himself again and again, and each of these lines would be another one.
	for _, gone := range departed {
		if _, kept := w.accounts[gone.Name]; kept {
			continue // included by name
		}
		if gone.UID < scope.MinUID && !slices.Contains(scope.Include, gone.Name) {
			continue
		}
		others := dirs[gone.Home]
		why := local.claims(gone.Account)
		if uids[gone.UID] {
			why = fmt.Sprintf("its uid %d is now another's", gone.UID)
		} else if slices.ContainsFunc(others, func(other homes.Account) bool { return other.UID == gone.UID }) {
			why = fmt.Sprintf("its home %s is another's too", gone.Home)
		}
		if why != "" {
			w.skip(gone.Name, "its user left the registry, and "+why)
			continue
		}
		if w.add(gone.Account); w.accounts[gone.Name] == gone.Account {
			w.departed[gone.Name] = gone.Since
			if len(others) > 0 {
				w.claims[gone.Name] = slices.Clone(others)
			}
			add(gone.Account)
		}
	}
}

// setAside lists those who are left alone, but for the names that are somebody else's on this host. What is wrong with an entry must not
// give its user what the registry has taken from him.
func (w *household) setAside(snapshot *registry.Snapshot, departed []Gone, local locals) {
	w.aside = make(map[string]homes.Account)
	add := func(account homes.Account) {
		if _, kept := w.accounts[account.Name]; !kept && !local.another(account) {
			w.aside[account.Name] = account
		}
	}
	for user := range snapshot.Users() {
		add(accountOf(user))
	}
	for _, gone := range departed {
		if _, back := snapshot.User(gone.Name); !back {
			add(gone.Account)
		}
	}
	for _, account := range w.sharing {
		delete(w.aside, account.Name)
	}
}
