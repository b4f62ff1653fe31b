package enforcer

import (
	"fmt"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/policy"
)

// Restoring is the looker with the keys of a copy to come back into its file, which is made if it is missing. The copy grants nothing:
// of its lines those come back that the registry and the policy accept now, in the form that they have now.
func (l Looker) Restoring(c Copy) Looker {
	l.Bring, l.restored = map[string][]authkeys.Line{c.Name: c.keys()}, c.ID
	return l
}

// Judge says of each key line of the copy what would become of it now.
func (c Copy) Judge(grants *policy.Grants) (verdicts []Decision) {
	for _, line := range c.keys() {
		verdicts = append(verdicts, Decision{line, grants.Judge(c.User, line)})
	}
	return verdicts
}

// keys are the lines of the copy that are to be told of: those that have a key, and those that may be meant to.
func (c Copy) keys() (lines []authkeys.Line) {
	for _, line := range authkeys.Parse(firstLines(c.Content)) {
		if line.Kind == authkeys.Entry || line.Kind == authkeys.Malformed {
			lines = append(lines, line)
		}
	}
	return lines
}

// restore plans a file into which the keys of a copy are to come back.
func (in Input) restore() Plan {
	if in.File.State == homes.Missing {
		in.File.State, in.File.Tidy = homes.Regular, true // an empty file, for the plan
	}
	id := in.Restored
	in.Restored = ""
	p := MakePlan(in)
	if p.Change && p.Whole.Reason == "" {
		p.Whole = policy.Verdict{Reason: ReasonRestored, Detail: fmt.Sprintf("keys of the copy %s come back", id)}
	}
	return p
}
