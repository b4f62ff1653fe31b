package enforcer

import (
	"fmt"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/policy"
)

// Restore plans to bring the keys of a copy back into the file. The copy grants nothing: of its lines those come back that
// the registry and the policy accept now, in the form that they have now; verdicts says of each key line what became of
// it. A plan without a change means that nothing was missing, or that nothing may come back.
func Restore(in Input, c Copy) (plan Plan, verdicts []Decision) {
	for _, line := range authkeys.Parse(firstLines(c.Content)) {
		if line.Kind != authkeys.Entry && line.Kind != authkeys.Malformed {
			continue
		}
		verdicts = append(verdicts, Decision{line, in.Grants.Judge(in.Account.Name, line)})
		in.Bring = append(in.Bring, line)
	}
	if in.File.State == homes.Missing {
		in.File.State, in.File.Tidy = homes.Regular, true // an empty file, for the plan
	}
	plan = MakePlan(in)
	if plan.Change && plan.Whole.Reason == "" {
		plan.Whole = policy.Verdict{Reason: ReasonRestored, Detail: fmt.Sprintf("keys of the copy %s come back", c.ID)}
	}
	return plan, verdicts
}
