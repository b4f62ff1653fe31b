package policy

import (
	"fmt"

	"github.com/keyreeve/keyreeve/authkeys"
)

// Check judges a key alone, as one that somebody stands for: its type, its size, and what is known of it. Whose it is nobody is asked.
func (p *Policy) Check(key authkeys.Key) Verdict { return p.check(key) }

// Recipe is how a key of one rule is made.
type Recipe struct {
	Rule
	// Name is the type in words, as [Policy.String] has it.
	Name string
	// Command makes a pair, File is the public half that it makes unless its user wants another (ssh-keygen(1)).
	Command, File string
}

// Recipes are those of the rules, in their order. The rules are ones that Compile takes.
func (r Rules) Recipes() (list []Recipe) {
	for _, rule := range r.Keys {
		recipe := Recipe{Rule: rule}
		_, recipe.Name, _ = rule.compile()
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

// Recommended is the recipe for somebody of whom nothing is known: ed25519 where it is accepted, a key that needs a device last.
func (r Rules) Recommended() Recipe {
	rank := map[string]int{ed25519: 2, rsa: 1}
	best := Recipe{}
	for _, recipe := range r.Recipes() {
		if best.Type == "" || rank[recipe.Type] > rank[best.Type] {
			best = recipe
		}
	}
	return best
}
