package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/plain"
)

// calm is the rank of an account of which there is nothing to say.
const calm = 6

// rank orders accounts by what matters: somebody may get in, or is locked out, a key goes, a file changes, no key is at stake.
func (r Report) rank(result enforcer.Result, locked map[string]bool) int {
	has := func(is func(enforcer.Plan) bool) bool { return slices.ContainsFunc(result.Plans, is) }
	switch {
	case result.Err != nil, has(enforcer.Plan.Pressing):
		return 0
	case locked[result.Account.Name]:
		return 1
	case has(func(p enforcer.Plan) bool { return p.Change && len(p.Remove) > 0 }):
		return 2
	case has(func(p enforcer.Plan) bool { return p.Change }):
		return 3
	case has(func(p enforcer.Plan) bool { return p.Unresolved != "" }):
		return 4
	case has(func(p enforcer.Plan) bool { return p.Remark != "" }):
		return 5
	}
	return calm
}

// textAccounts prints what needs attention, the worst first, and not without end.
func textAccounts(out *page, r Report, d Digest) {
	locked := make(map[string]bool)
	for _, l := range d.Lockouts {
		locked[l.User] = true
	}
	type place struct{ rank, at int }
	var list []place
	for i, result := range r.Results {
		if rank := r.rank(result, locked); rank < calm {
			list = append(list, place{rank, i})
		}
	}
	slices.SortStableFunc(list, func(a, b place) int { return cmp.Compare(a.rank, b.rank) })
	out.each = max(minDecisions, min(maxDecisions, maxDetail/(3*max(1, len(list)))))
	end, share := out.lines+maxDetail, max(minShare, maxDetail/max(1, len(list)))
	for i, p := range list {
		if out.lines >= end {
			fmt.Fprintf(out, "... and %d more accounts, which --format json and csv have\n\n", len(list)-i)
			return
		}
		textResult(out, r.Results[p.at], r, min(end, out.lines+share))
	}
}

func textResult(out *page, result enforcer.Result, r Report, end int) {
	if result.Err != nil {
		lines := strings.Split(result.Err.Error(), "\n")
		for _, line := range lines[:min(len(lines), maxDecisions)] {
			out.fold(red, plain.Text(result.Account.Name)+": error:", plain.Text(line), "      ")
		}
		out.more(len(lines), maxDecisions)
		fmt.Fprintln(out)
	}
	left := 0
	for _, p := range result.Plans {
		switch {
		case p.Unresolved == "" && !p.Change && p.Remark == "":
		case out.lines >= end:
			left++
		default:
			textPlan(out, p, r)
		}
	}
	if left > 0 {
		fmt.Fprintf(out, "%s  ... and %d more files, which --format json and csv have\n\n", plain.Text(result.Account.Name), left)
	}
}

func textPlan(out *page, p enforcer.Plan, r Report) {
	fmt.Fprintf(out, "%s  %s\n", out.paint(bold, plain.Text(p.Account.Name)), plain.Text(p.Path()))
	if left := r.Departed[p.Account.Name]; !left.IsZero() {
		fmt.Fprintf(out, "  ! not in the registry since %s\n", left.UTC().Format(time.RFC3339))
	}
	switch {
	case p.Unresolved != "":
		out.fold(red, "  ! not decided:", plain.Text(p.Unresolved), "      ")
	case p.Change && r.Applied && !r.enforces(p.Account.Name):
		fmt.Fprintf(out, "  ! left as it is: mode %s\n", r.Modes[p.Account.Name])
	case p.Change && p.Done != r.Applied:
		fmt.Fprintln(out, out.paint(red, "  ! not carried out; the error stands above"))
	}
	if p.Whole.Reason != "" {
		does := "the whole file is replaced"
		if p.Whole.Reason == enforcer.ReasonUntidy {
			does = "owner, mode or links are put right"
		}
		out.fold(yellow, fmt.Sprintf("  ! %-18s", p.Whole.Reason), does, "      ")
		out.wrap(plain.Text(p.Whole.Detail))
	}
	if p.Remark != "" {
		out.fold(yellow, "  !", plain.Text(p.Remark), "      ")
	}
	textDecisions(out, red, '-', p.Remove)
	textDecisions(out, yellow, '~', p.Rewrite)
	for _, g := range p.Add[:min(len(p.Add), out.each)] {
		textLine(out, green, fmt.Sprintf("  + %-18s", "granted"), g.Line())
	}
	out.more(len(p.Add), out.each)
	fmt.Fprintln(out)
}

func textDecisions(out *page, i ink, sign rune, list []enforcer.Decision) {
	for _, d := range list[:min(len(list), out.each)] {
		textLine(out, i, fmt.Sprintf("  %c %-18s line %d", sign, d.Reason, d.Line.N), d.Line)
		out.wrap(plain.Text(d.Detail))
	}
	out.more(len(list), out.each)
}

// textLine prints a lead and names the key of a line, never the line itself: the comment, then on its own line the fingerprint, which
// fits into 80 columns so.
func textLine(out *page, i ink, lead string, line authkeys.Line) {
	if line.Key.IsZero() {
		out.fold(i, lead, "", "      ")
		return
	}
	comment := plain.Cut(line.Comment, foreignBound)
	if comment != "" && strings.Contains(lead, "line ") {
		lead += ","
	}
	out.fold(i, lead, comment, "      ")
	out.wrap(line.Key.Fingerprint() + " " + kindOf(line.Key))
}
