package policy

import (
	"cmp"
	"maps"
	"slices"

	"github.com/keyreeve/keyreeve/authkeys"
)

// Foreign judges a key line of another program that sshd asks, and gives the line that may take its place: with those options that narrow. A
// key is refused as a registered one is, but nobody is asked whose it is.
func (p *Policy) Foreign(line authkeys.Line) (authkeys.Line, Verdict) {
	switch {
	case line.Kind != authkeys.Entry:
		return authkeys.Line{}, malformed(line.Err)
	case line.Options.CertAuthority():
		return authkeys.Line{}, certAuthority()
	}
	if verdict := p.check(line.Key); !verdict.Granted() {
		return authkeys.Line{}, verdict
	}
	return authkeys.Line{Kind: authkeys.Entry, Key: line.Key, Options: line.Options.Narrowing(), Comment: line.Comment}, Verdict{Reason: ReasonGranted}
}

// Rules are those by which the grants were made, in the order of their types.
func (g *Grants) Rules() []Rule {
	return slices.SortedFunc(maps.Values(g.policy.accepts), func(a, b Rule) int { return cmp.Compare(a.Type, b.Type) })
}
