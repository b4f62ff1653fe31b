package policy

import (
	"cmp"
	"slices"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
)

// Foreign judges a key line of another program that sshd asks at the moment now, and gives the line that may take its place: with those options that narrow,
// that are allowed, and that are forced. A key is refused as a registered one is, but nobody is asked whose it is.
func (p *Policy) Foreign(line authkeys.Line, now time.Time) (authkeys.Line, Verdict) {
	switch {
	case line.Kind != authkeys.Entry:
		return authkeys.Line{}, malformed(line.Err)
	case line.Options.CertAuthority():
		return authkeys.Line{}, certAuthority()
	}
	if verdict := p.check(line.Key, now); !verdict.Granted() {
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

// Rules are those by which the grants were made, whenever they count, in the order of their types and days.
func (g *Grants) Rules() (list []Rule) {
	for _, s := range g.policy.rules.list {
		list = append(list, s.Rule)
	}
	slices.SortFunc(list, func(a, b Rule) int { return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.From, b.From)) })
	return list
}
