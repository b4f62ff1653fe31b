package enforcer

import (
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/internal/answer"
	"github.com/keyreeve/keyreeve/internal/homes"
)

// Answers yields what sshd is to be told of each user, in the order of their names: the lines that a file with all of his grants would
// have, and what is refused him by other programs. Of accounts that are left alone only the latter is said, since their entries cannot be acted
// on, but for those that share a home: that is a matter of files.
func (w *World) Answers() iter.Seq[answer.User] {
	accounts := w.order
	if len(w.sharing)+len(w.aside) > 0 {
		accounts = slices.Concat(w.order, w.sharing, slices.Collect(maps.Values(w.aside)))
		slices.SortFunc(accounts, func(a, b homes.Account) int { return strings.Compare(a.Name, b.Name) })
	}
	return func(yield func(answer.User) bool) {
		for _, account := range accounts {
			grants, refused := w.Grants.For(account.Name), w.refused(account.Name)
			if _, aside := w.aside[account.Name]; aside {
				grants = nil
			}
			registered, _ := w.Snapshot.User(account.Name)
			if len(grants) == 0 && len(refused) == 0 && registered.Until.IsZero() {
				continue
			}
			user := answer.User{Name: account.Name, UID: account.UID, Keys: make([]answer.Key, 0, len(grants)), Refused: refused, Until: registered.Until}
			for _, g := range grants {
				if g.Withheld != "" {
					continue
				}
				user.Keys = append(user.Keys, answer.Key{Fingerprint: g.Key.Fingerprint(), Line: string(g.Line().AppendTo(nil)), Until: g.Until})
			}
			if !yield(user) {
				return
			}
		}
	}
}

// refused are the keys with which no other program that sshd asks beside keyreeve may let a user in.
func (w *World) refused(user string) (fingerprints []string) {
	_, left := w.departed[user]
	if _, aside := w.aside[user]; aside {
		_, listed := w.Snapshot.User(user)
		left = !listed
	}
	if left || w.Grants.Away(user).Reason != "" {
		return []string{answer.Everything}
	}
	for _, key := range w.Grants.Refused(user) {
		fingerprints = append(fingerprints, key.String())
	}
	return fingerprints
}

// Rules are those by which the keys of such a program are judged.
func (w *World) Rules() (rules answer.Rules) {
	for _, r := range w.Grants.Rules() {
		rules.Keys = append(rules.Keys, answer.Rule{Type: r.Type, MinBits: r.MinBits, From: string(r.From), Until: string(r.Until)})
	}
	options, sshd := w.Grants.OptionRules()
	rules.Allow = options.Allow
	for _, force := range options.Force {
		rules.Force = force.Options
	}
	if !sshd.IsZero() {
		rules.SSHD = sshd.String()
	}
	return rules
}
