package report

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/plain"
	"github.com/keyreeve/keyreeve/policy"
)

// Text prints a report for people: what needs attention, user by user, then what was left out, then the totals. Clean
// users are counted only.
func Text(w io.Writer, r Report) error {
	out := bufio.NewWriter(w)
	if r.WhatIf != nil {
		fmt.Fprintf(out, "what if   %s: nothing is changed, now or then\n", r.WhatIf.supposed())
	}
	fmt.Fprintf(out, "registry  %s: %d users, %d keys\n", plain.Text(r.Source), r.Users, r.Keys)
	if r.Held != "" {
		fmt.Fprintf(out, "          ! this is the last good reading: a later one is held, since it lost too much:\n          ! %s\n", plain.Text(r.Held))
	}
	fmt.Fprintf(out, "policy    %s\n", r.Policy)
	if r.WhatIf != nil && r.WhatIf.File != "" {
		fmt.Fprintf(out, "in force  %s\n", r.WhatIf.InForce)
	}
	fmt.Fprintln(out)
	if r.WhatIf != nil {
		textWhatIf(out, *r.WhatIf)
	}
	for _, result := range r.Results {
		textResult(out, result, r)
	}
	textHeld(out, r)
	textUnkept(out, r.unkept())
	if len(r.Soon) > 0 {
		textPeople(out, "refused soon", r.Soon)
	}
	textHygiene(out, r)
	textExceptions(out, r.Exceptions)
	if len(r.Skips) > 0 {
		fmt.Fprintf(out, "left alone\n")
		for _, s := range r.Skips {
			fmt.Fprintf(out, "  %s: %s\n", plain.Text(s.User), plain.Text(s.Why))
		}
		fmt.Fprintln(out)
	}
	textCounts(out, r)
	return out.Flush()
}

// textExceptions prints who answers for which key, and how long.
func textExceptions(out *bufio.Writer, list []policy.Excepted) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintf(out, "exceptions\n")
	for _, e := range list {
		fmt.Fprintf(out, "  %s  %s\n      until %s, owner %s: %s\n", plain.Text(e.User), e.Key.Fingerprint(),
			e.Until.UTC().Format(time.RFC3339), plain.Text(e.Owner), plain.Text(e.Reason))
		if e.Idle != "" {
			fmt.Fprintf(out, "      grants nothing: %s\n", plain.Text(e.Idle))
		}
		fmt.Fprintf(out, "      id %s, copy %s\n", plain.Text(e.ID), plain.Text(e.Copy))
	}
	fmt.Fprintln(out)
}

// textCounts prints the totals.
func textCounts(out *bufio.Writer, r Report) {
	c := r.Count()
	changed, removed, rewritten, added := "to change", "to remove", "to rewrite", "to add"
	if r.Applied {
		changed, removed, rewritten, added = "changed", "removed", "rewritten", "added"
	}
	fmt.Fprintf(out, "accounts  %d, %s: %d, errors: %d, left alone: %d\n", c.Accounts, changed, c.Pending, c.Errors, c.Skipped)
	if len(c.Modes) > 0 {
		fmt.Fprintf(out, "modes     report: %d, warn: %d, enforce: %d\n", c.Modes["report"], c.Modes["warn"], c.Modes[enforce])
	}
	fmt.Fprintf(out, "lines     %s: %d, %s: %d, %s: %d\n", removed, c.Remove, rewritten, c.Rewrite, added, c.Add)
	if c.Departed > 0 {
		fmt.Fprintf(out, "accounts  whose user left the registry: %d\n", c.Departed)
	}
	if c.Held > 0 {
		fmt.Fprintf(out, "lines     held: %d\n", c.Held)
	}
	if c.Unresolved > 0 {
		fmt.Fprintf(out, "files     not decided: %d\n", c.Unresolved)
	}
	if c.Unkept > 0 {
		fmt.Fprintf(out, "files     read by sshd, not kept: %d\n", c.Unkept)
	}
}

// textUnkept prints each file once: one that is all accounts' would otherwise stand there for each of them.
func textUnkept(out *bufio.Writer, accounts map[homes.Unkept]int) {
	if len(accounts) == 0 {
		return
	}
	fmt.Fprintf(out, "read by sshd, not kept\n")
	for _, u := range slices.SortedFunc(maps.Keys(accounts), func(a, b homes.Unkept) int {
		return cmp.Or(strings.Compare(a.Path, b.Path), strings.Compare(a.Why, b.Why))
	}) {
		fmt.Fprintf(out, "  %s  for %d accounts\n      %s\n", plain.Text(u.Path), accounts[u], plain.Text(u.Why))
	}
	fmt.Fprintln(out)
}

// textHeld prints what stays although it is no longer registered.
func textHeld(out *bufio.Writer, r Report) {
	brake := "the brake is on since " + r.Brake.Tripped.UTC().Format(time.RFC3339) + ": these people have lost a registered key, and more would"
	if len(r.Trips) > 0 {
		brake = "this would trip the brake: these people and others would lose a registered key at once"
	}
	if people := slices.Concat(r.Brake.People, r.Trips); len(people) > 0 {
		fmt.Fprintf(out, "%s\n", brake)
		for _, user := range people {
			fmt.Fprintf(out, "  %s\n", plain.Text(user))
		}
		fmt.Fprintln(out)
	}
	list := r.held()
	if len(list) == 0 {
		return
	}
	fmt.Fprintf(out, "held: no longer registered, but not removed yet\n")
	for _, h := range list {
		fmt.Fprintf(out, "  %s  %s\n      line %d%s\n      %s\n", plain.Text(h.user), plain.Text(h.path), h.Line.N, prefixed(", ", describe(h.Line)), plain.Text(h.Detail))
	}
	fmt.Fprintln(out)
}

func textResult(out *bufio.Writer, result enforcer.Result, r Report) {
	if result.Err != nil {
		for line := range strings.SplitSeq(result.Err.Error(), "\n") {
			fmt.Fprintf(out, "%s: error: %s\n", plain.Text(result.Account.Name), plain.Text(line))
		}
		fmt.Fprintln(out)
	}
	for _, p := range result.Plans {
		if p.Unresolved != "" || p.Change || p.Remark != "" {
			textPlan(out, p, r)
		}
	}
}

func textPlan(out *bufio.Writer, p enforcer.Plan, r Report) {
	fmt.Fprintf(out, "%s  %s\n", plain.Text(p.Account.Name), plain.Text(p.Path()))
	if left := r.Departed[p.Account.Name]; !left.IsZero() {
		fmt.Fprintf(out, "  ! not in the registry since %s\n", left.UTC().Format(time.RFC3339))
	}
	switch {
	case p.Unresolved != "":
		fmt.Fprintf(out, "  ! not decided: %s\n", plain.Text(p.Unresolved))
	case p.Change && r.Applied && !slices.Contains([]string{"", enforce}, r.Modes[p.Account.Name]):
		fmt.Fprintf(out, "  ! left as it is: mode %s\n", r.Modes[p.Account.Name])
	case p.Change && p.Done != r.Applied:
		fmt.Fprintln(out, "  ! not carried out; the error stands above")
	}
	if p.Whole.Reason != "" {
		does := "the whole file is replaced"
		if p.Whole.Reason == enforcer.ReasonUntidy {
			does = "owner, mode or links are put right"
		}
		fmt.Fprintf(out, "  ! %-18s %s\n", p.Whole.Reason, does)
		if p.Whole.Detail != "" {
			fmt.Fprintf(out, "      %s\n", plain.Text(p.Whole.Detail))
		}
	}
	if p.Remark != "" {
		fmt.Fprintf(out, "  ! %s\n", plain.Text(p.Remark))
	}
	for _, d := range p.Remove {
		textDecision(out, '-', d)
	}
	for _, d := range p.Rewrite {
		textDecision(out, '~', d)
	}
	for _, g := range p.Add {
		fmt.Fprintf(out, "  + %-18s %s\n", "granted", describe(g.Line()))
	}
	fmt.Fprintln(out)
}

func textDecision(out *bufio.Writer, sign rune, d enforcer.Decision) {
	fmt.Fprintf(out, "  %c %-18s line %d%s\n", sign, d.Reason, d.Line.N, prefixed(", ", describe(d.Line)))
	if d.Detail != "" {
		fmt.Fprintf(out, "      %s\n", plain.Text(d.Detail))
	}
}

func prefixed(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}

// describe names the key of a line, never the line itself.
func describe(line authkeys.Line) string {
	if line.Key.IsZero() {
		return ""
	}
	text := line.Key.Fingerprint()
	if line.Comment != "" {
		text += " " + plain.Cut(line.Comment, foreignBound)
	}
	return text
}
