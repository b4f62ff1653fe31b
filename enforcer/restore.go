package enforcer

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/policy"
)

// Restore plans to bring the keys of a copy back into the file. The copy grants nothing: of its lines those come back that
// the registry and the policy accept now, in the form that they have now; verdicts says of each key line what became of
// it. A plan without a change means that nothing was missing, or that nothing may come back.
func Restore(in Input, c Copy) (plan Plan, verdicts []Decision) {
	before := in.File.Data
	data := before
	if len(data) > 0 && !bytes.HasSuffix(data, []byte("\n")) {
		data = append(bytes.Clone(data), '\n')
	}
	present := authkeys.Parse(before)
	for _, line := range authkeys.Parse(c.Content) {
		if line.Kind != authkeys.Entry && line.Kind != authkeys.Malformed {
			continue
		}
		verdict := in.Grants.Judge(in.Account.Name, line)
		verdicts = append(verdicts, Decision{line, verdict})
		there := slices.ContainsFunc(present, func(l authkeys.Line) bool { return loginKey(l, line.Key) })
		if verdict.Granted() && !there {
			present = append(present, line)
			data = line.AppendTo(data)
		}
	}
	if in.File.State == homes.Missing {
		in.File.State = homes.Regular
		in.File.Tidy = true
	}
	in.File.Data = data
	plan = MakePlan(in)
	plan.Original = before
	if plan.State == homes.Regular && plan.Unresolved == "" {
		plan.Whole = policy.Verdict{Reason: ReasonRestored, Detail: fmt.Sprintf("keys of the copy %s come back", c.ID)}
		plan.Change = !bytes.Equal(plan.After, before)
	}
	return plan, verdicts
}
