package report

import (
	"bufio"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/enforcer"
)

// Text prints a report for people: what needs attention, user by user, then what was left out, then the totals. Clean
// users are counted only.
func Text(w io.Writer, r Report) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "registry  %s: %d users, %d keys\npolicy    %s\n\n", sentence(r.Source), r.Users, r.Keys, r.Policy)
	for _, result := range r.Results {
		textResult(out, result)
	}
	if len(r.Denied)+len(r.Rejects) > 0 {
		fmt.Fprintf(out, "registered, but not usable\n")
		for _, d := range r.Denied {
			fmt.Fprintf(out, "  %s  %s  %s\n      %s\n", d.User, d.Reason, d.Key.Fingerprint(), sentence(d.Detail))
		}
		for _, j := range r.Rejects {
			fmt.Fprintf(out, "  %s  rejected  %s\n      %s\n", sentence(j.User), sentence(j.Origin), sentence(j.Detail))
		}
		fmt.Fprintln(out)
	}
	if len(r.Skips) > 0 {
		fmt.Fprintf(out, "left alone\n")
		for _, s := range r.Skips {
			fmt.Fprintf(out, "  %s: %s\n", sentence(s.User), sentence(s.Why))
		}
		fmt.Fprintln(out)
	}
	textCounts(out, r)
	return out.Flush()
}

// textCounts prints the totals.
func textCounts(out *bufio.Writer, r Report) {
	c := r.Count()
	changed, removed, rewritten, added := "to change", "to remove", "to rewrite", "to add"
	if r.Applied {
		changed, removed, rewritten, added = "changed", "removed", "rewritten", "added"
	}
	fmt.Fprintf(out, "accounts  %d, %s: %d, errors: %d, left alone: %d\n", c.Accounts, changed, c.Pending, c.Errors, c.Skipped)
	fmt.Fprintf(out, "lines     %s: %d, %s: %d, %s: %d\n", removed, c.Remove, rewritten, c.Rewrite, added, c.Add)
	if c.Unresolved > 0 {
		fmt.Fprintf(out, "files     not decided: %d\n", c.Unresolved)
	}
}

func textResult(out *bufio.Writer, result enforcer.Result) {
	if result.Err != nil {
		for line := range strings.SplitSeq(result.Err.Error(), "\n") {
			fmt.Fprintf(out, "%s: error: %s\n", result.Account.Name, sentence(line))
		}
		fmt.Fprintln(out)
	}
	for _, p := range result.Plans {
		switch {
		case p.Unresolved != "":
			fmt.Fprintf(out, "%s  %s\n  ! not decided: %s\n\n", p.Account.Name, path(p), sentence(p.Unresolved))
		case p.Change:
			textPlan(out, p)
		}
	}
}

func textPlan(out *bufio.Writer, p enforcer.Plan) {
	fmt.Fprintf(out, "%s  %s\n", p.Account.Name, path(p))
	if p.Whole.Reason != "" {
		fmt.Fprintf(out, "  ! %-18s the whole file is replaced\n", p.Whole.Reason)
		if p.Whole.Detail != "" {
			fmt.Fprintf(out, "      %s\n", sentence(p.Whole.Detail))
		}
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
		fmt.Fprintf(out, "      %s\n", sentence(d.Detail))
	}
}

func prefixed(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}

func path(p enforcer.Plan) string { return filepath.Join(p.Account.Home, ".ssh", p.Name) }

// describe names the key of a line, never the line itself.
func describe(line authkeys.Line) string {
	if line.Key.IsZero() {
		return ""
	}
	text := line.Key.Fingerprint()
	if line.Comment != "" {
		text += " " + foreign(line.Comment)
	}
	return text
}
