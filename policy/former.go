package policy

import (
	"slices"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
)

// Former is a key that was registered to a user and no longer is, or whose account no longer counts.
type Former struct {
	User string
	// Grant is what was granted last, with the options of the registry. If it is Held, lines with the key stay for the time being, by those options.
	Grant
	// Since is the time of the first reading that no longer had it.
	Since time.Time
	// Sum is what is left of a key that is not remembered whole: its Key is none, and it is not held.
	Sum authkeys.Sum
}

// ID is the sum of the key.
func (f Former) ID() authkeys.Sum {
	if f.Key.IsZero() {
		return f.Sum
	}
	return f.Key.Sum()
}

// WithFormer returns grants that tell keys which were registered from those that never were, and that hold those which are to
// stay. What the policy refuses is not held, whoever registered it; and of a key that is granted nothing is former.
func (g *Grants) WithFormer(list []Former) *Grants {
	if len(list) == 0 {
		return g
	}
	users := make(map[string]*userGrants)
	granted := make(map[string]map[authkeys.Sum]bool) // one user may have thousands of both
	for _, f := range list {
		have, of := granted[f.User], users[f.User]
		if have == nil {
			have = make(map[authkeys.Sum]bool)
			for _, grant := range g.of(f.User).grants {
				have[grant.Key.Sum()] = true
			}
			granted[f.User] = have
		}
		if have[f.ID()] {
			continue
		}
		if of == nil {
			of = new(g.of(f.User))
			of.grants, of.former = slices.Clip(of.grants), slices.Clip(of.former) // they are those of g as well
			users[f.User] = of
		}
		of.former = append(of.former, f)
		if f.Held == "" || f.Options.CertAuthority() || !g.policy.check(f.Key, g.now).Granted() {
			continue
		}
		end, _ := g.policy.rules.end(f.Key, g.now)
		f.Until = earlier(f.Until, end)
		if grant, _, verdict := g.policy.options.grant(f.Grant, f.Options); verdict.Granted() {
			of.add(grant)
		}
	}
	with := *g
	with.users = g.users.With(users)
	return &with
}

// Without returns grants in which no exception counts for users who left the registry. It is a word about one key, not about the
// account, as it is where the account is locked.
func (g *Grants) Without(left map[string]time.Time) *Grants {
	ends := func(e numbered) bool {
		_, is := left[e.User]
		return is && e.Idle == ""
	}
	if !slices.ContainsFunc(g.excepted, ends) {
		return g
	}
	with := *g
	with.excepted = slices.Clone(g.excepted)
	users := make(map[string]*userGrants)
	for i, e := range with.excepted {
		if ends(e) {
			with.excepted[i].Idle = "its user left the registry"
			if users[e.User] == nil {
				users[e.User] = new(g.of(e.User))
			}
			of := users[e.User]
			of.grants = slices.DeleteFunc(slices.Clone(of.grants), func(have Grant) bool { return have.Key == e.Key })
		}
	}
	with.users = g.users.With(users)
	return &with
}

// formerly says since when a key is no longer registered to a user.
func (g *Grants) formerly(user string, key authkeys.Key) (Verdict, bool) {
	former := g.of(user).former
	if len(former) == 0 {
		return Verdict{}, false
	}
	sum := key.Sum()
	for _, f := range former {
		if f.Key == key || f.Key.IsZero() && f.Sum == sum {
			if verdict := g.policy.check(key, g.now); !verdict.Granted() {
				return verdict, true
			}
			return Verdict{ReasonFormer, "the key registry listed this key for the user until " + moment(f.Since)}, true
		}
	}
	return Verdict{}, false
}
