package policy

import (
	"cmp"
	"maps"
	"slices"

	"github.com/keyreeve/keyreeve/authkeys"
)

// Foreign judges a key line of another program that sshd asks, and gives the line that may take its place: with those options that narrow,
// that are allowed, and that are forced. A key is refused as a registered one is, but nobody is asked whose it is.
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
	grant, _, verdict := p.options.grant(Grant{Key: line.Key, Label: line.Comment}, line.Options.Narrowing())
	switch {
	case !verdict.Granted():
		return authkeys.Line{}, verdict
	case grant.Withheld != "":
		return authkeys.Line{}, Verdict{ReasonSSHD, grant.Withheld}
	}
	return grant.Line(), verdict
}

// Rules are those by which the grants were made, in the order of their types.
func (g *Grants) Rules() []Rule {
	return slices.SortedFunc(maps.Values(g.policy.accepts), func(a, b Rule) int { return cmp.Compare(a.Type, b.Type) })
}
