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

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/plain"
	"github.com/keyreeve/keyreeve/policy"
)

// Text prints a report for people, in colours if the terminal has them: the totals and who loses access, what needs attention account by
// account, the worst first, what was left out, and the totals again, since the first ones may have scrolled away. Clean
// users are counted only.
func Text(w io.Writer, r Report, color bool) error {
	out := &page{out: bufio.NewWriter(w), color: color}
	d := r.Digest()
	textHead(out, r)
	textCounts(out, r, d)
	fmt.Fprintln(out)
	textBrake(out, r)
	if r.WhatIf != nil {
		textWhatIf(out, *r.WhatIf)
	}
	textDigest(out, r, d)
	textPrivate(out, d)
	textAccounts(out, r, d)
	textHeld(out, r)
	textUnkept(out, r.unkept())
	if len(r.Soon) > 0 {
		textPeople(out, "refused soon", r.Soon, maxRows)
	}
	textHygiene(out, r)
	textExceptions(out, r.Exceptions)
	rows(out, bold, "left alone", r.Skips, func(s enforcer.Skip) {
		out.fold(plainInk, "  "+plain.Text(s.User)+":", plain.Text(s.Why), "      ")
	})
	textCounts(out, r, d)
	return out.out.Flush()
}

// textHead prints what the report was made from.
func textHead(out *page, r Report) {
	const indent = "          "
	if r.WhatIf != nil {
		out.fold(yellow, "what if  ", r.WhatIf.supposed()+": nothing is changed, now or then", indent)
	}
	if r.Host != "" {
		fmt.Fprintf(out, "host      %s, %s\n", plain.Text(r.Host), r.Made.UTC().Format(time.RFC3339))
	}
	out.fold(plainInk, "registry ", fmt.Sprintf("%s: %d users, %d keys", plain.Text(r.Source), r.Users, r.Keys), indent)
	if r.Held != "" {
		out.fold(yellow, indent+"!", "the last good reading: a later one is held, since it lost too much:", indent+"! ")
		out.fold(yellow, indent+"!", plain.Text(r.Held), indent+"! ")
	}
	out.fold(plainInk, "policy   ", r.Policy, indent)
	if r.WhatIf != nil && r.WhatIf.File != "" {
		out.fold(plainInk, "in force ", r.WhatIf.InForce, indent)
	}
	fmt.Fprintln(out)
}

// textExceptions prints who answers for which key, and how long.
func textExceptions(out *page, list []policy.Excepted) {
	if len(list) == 0 {
		return
	}
	out.title(bold, "exceptions")
	for _, e := range list {
		out.row(plain.Text(e.User), e.Key.Fingerprint())
		out.wrap(fmt.Sprintf("until %s, owner %s: %s", e.Until.UTC().Format(time.RFC3339), plain.Text(e.Owner), plain.Text(e.Reason)))
		if e.Idle != "" {
			out.wrap("grants nothing: " + plain.Text(e.Idle))
		}
		out.wrap(fmt.Sprintf("id %s, copy %s", plain.Text(e.ID), plain.Text(e.Copy)))
	}
	fmt.Fprintln(out)
}

// textCounts prints the totals.
func textCounts(out *page, r Report, d Digest) {
	c := d.Counts
	changed, removed, rewritten, added := "to change", "to remove", "to rewrite", "to add"
	if r.Applied {
		changed, removed, rewritten, added = "changed", "removed", "rewritten", "added"
	}
	fmt.Fprintf(out, "accounts  %d, %s: %d, errors: %d, left alone: %d\n", c.Accounts, changed, c.Pending, c.Errors, c.Skipped)
	if len(c.Modes) > 0 {
		fmt.Fprintf(out, "modes     report: %d, warn: %d, enforce: %d\n", c.Modes["report"], c.Modes["warn"], c.Modes[enforce])
	}
	fmt.Fprintf(out, "lines     %s: %d, %s: %d, %s: %d\n", removed, c.Remove, rewritten, c.Rewrite, added, c.Add)
	if shut := d.Shut(); len(d.Lockouts) > 0 {
		out.fold(red, "people   ", fmt.Sprintf("who lose access: %d without another granted key, %d with one in no file", shut, len(d.Lockouts)-shut), "          ")
	}
	if users, losers := d.ClusterUsers(); users > 0 {
		fmt.Fprintf(out, "people    with a key of the cluster itself: %d, who lose one: %d\n", users, losers)
	}
	textPrivateCounts(out, d)
	if c.Departed > 0 {
		fmt.Fprintf(out, "accounts  whose user left the registry: %d\n", c.Departed)
	}
	if c.Held > 0 {
		fmt.Fprintf(out, "lines     held: %d\n", c.Held)
	}
	if c.Unresolved > 0 {
		fmt.Fprintln(out, out.paint(red, fmt.Sprintf("files     not decided: %d", c.Unresolved)))
	}
	if n := len(d.Modes); n > 0 {
		fmt.Fprintf(out, "files     with a wrong owner, mode or link: %d\n", n)
	}
	if c.Unkept > 0 {
		fmt.Fprintln(out, out.paint(red, fmt.Sprintf("files     read by sshd, not kept: %d", c.Unkept)))
	}
}

// textUnkept prints each file once: one that is all accounts' would otherwise stand there for each of them.
func textUnkept(out *page, accounts map[homes.Unkept]int) {
	list := slices.SortedFunc(maps.Keys(accounts), func(a, b homes.Unkept) int {
		return cmp.Or(cmp.Compare(accounts[b], accounts[a]), strings.Compare(a.Path, b.Path), strings.Compare(a.Why, b.Why))
	})
	rows(out, red, "read by sshd, not kept", list, func(u homes.Unkept) {
		out.row(plain.Text(u.Path), fmt.Sprintf("for %d accounts", accounts[u]))
		out.wrap(plain.Text(u.Why))
	})
}

// textBrake prints who makes the brake hold, or would.
func textBrake(out *page, r Report) {
	brake := "the brake is on since " + r.Brake.Tripped.UTC().Format(time.RFC3339) + ": these people lost a registered key"
	if len(r.Trips) > 0 {
		brake = "this would trip the brake: these people and others lose a registered key at once"
	}
	rows(out, red, brake, slices.Concat(r.Brake.People, r.Trips), func(user string) { fmt.Fprintf(out, "  %s\n", plain.Text(user)) })
}

// textHeld prints what stays although it is no longer registered.
func textHeld(out *page, r Report) {
	rows(out, yellow, "held: no longer registered, but not removed yet", r.held(), func(h heldLine) {
		out.row(plain.Text(h.user), plain.Text(h.path))
		textLine(out, plainInk, fmt.Sprintf("      line %d", h.Line.N), h.Line)
		out.wrap(plain.Text(h.Detail))
	})
}
