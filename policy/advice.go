package policy

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
)

// Check judges a key alone at a moment, as one that somebody stands for: its type, its size, and what is known of it. Whose it is nobody is asked.
func (p *Policy) Check(key authkeys.Key, now time.Time) Verdict { return p.check(key, now) }

// OptionAdvice says what becomes of options in front of a key that the centre accepts.
type OptionAdvice struct {
	// Registered is the verdict on a key that the registry lists with them, and Dropped the names of those that are left out then.
	Registered Verdict
	Dropped    []string
	// Own is the verdict on a line that its user has in his file, of a key that the registry lists without options; Gone are the names of those that go.
	Own  Verdict
	Gone []string
}

// CheckOptions judges options alone. Names are in lower case, each once, in their order.
func (p *Policy) CheckOptions(options authkeys.Options) (a OptionAdvice) {
	if options.CertAuthority() {
		return OptionAdvice{Registered: certAuthority(), Own: certAuthority()}
	}
	demanded, _, verdict := p.options.demand(options)
	a.Registered, a.Own = verdict, Verdict{Reason: ReasonGranted}
	if verdict.Granted() {
		a.Dropped = without(options, demanded, authkeys.Options{})
	}
	left, err := p.options.own(options)
	kept, wrong := p.options.forced.Over(options.Narrowing())
	if err = errors.Join(err, wrong); err != nil {
		a.Own = malformed(err)
		return a
	}
	a.Gone = without(options, left, kept)
	return a
}

// without are the names of options that are not left, but for what restrict stands for: those that only widen, and those that were kept before.
func without(options, left, kept authkeys.Options) (names []string) {
	for name := range options.Names() {
		if !left.Has(name) && (authkeys.Widening(name) || kept.Has(name)) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// Recipe is how a key of one rule is made.
type Recipe struct {
	Rule
	// Name is the type in words, as [Policy.String] has it, with the days of the rule.
	Name string
	// InForce says that the rule counts at the moment that was asked for.
	InForce bool
	// Command makes a pair, File is the public half that it makes unless its user wants another (ssh-keygen(1)).
	Command, File string
}

// Recipes are those of the rules, in their order, but for rules whose days are over. The rules are ones that Compile takes.
func (r Rules) Recipes(now time.Time) (list []Recipe) {
	for _, rule := range r.Keys {
		_, s, _ := rule.compile()
		if !s.until.IsZero() && !now.Before(s.until) {
			continue
		}
		recipe := Recipe{Rule: rule, Name: s.String(), InForce: s.in(now)}
		switch rule.Type {
		case ed25519:
			recipe.Command, recipe.File = "ssh-keygen -t ed25519", "~/.ssh/id_ed25519.pub"
		case skEd25519:
			recipe.Command, recipe.File = "ssh-keygen -t ed25519-sk", "~/.ssh/id_ed25519_sk.pub"
		case rsa:
			recipe.Command, recipe.File = fmt.Sprintf("ssh-keygen -t rsa -b %d", rule.MinBits), "~/.ssh/id_rsa.pub"
		}
		list = append(list, recipe)
	}
	return list
}

// Recommended is the recipe for somebody of whom nothing is known: one that counts now, of those ed25519 where it is accepted, a key that
// needs a device last.
func (r Rules) Recommended(now time.Time) Recipe {
	rank := func(r Recipe) int {
		n := map[string]int{ed25519: 2, rsa: 1}[r.Type]
		if r.InForce {
			n += 3
		}
		return n
	}
	best := Recipe{}
	for _, recipe := range r.Recipes(now) {
		if best.Type == "" || rank(recipe) > rank(best) {
			best = recipe
		}
	}
	return best
}
