package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/plain"
	"github.com/keyreeve/keyreeve/policy"
)

// Title is what the state means, for the head of a row.
func (s HomeState) Title() string {
	switch s {
	case HomeError:
		return "not looked at, in whole or in part"
	case HomeOpen:
		return "with a file that is not decided"
	case HomeLeft:
		return "with a change that was not carried out"
	case HomeChange:
		return "with a change"
	case HomeUnkept:
		return "in line, but for files that are not kept"
	case HomeExposed:
		return "in line, but others may write there"
	case HomeNone:
		return "without a home"
	case HomeWithout:
		return "in line, without a key"
	case HomeInLine:
		return "in line, with a key"
	}
	return string(s)
}

// Title is the span of the age, for the head of a row.
func (a AgeTally) Title() string {
	if a.Unknown {
		return "not known"
	}
	at := slices.Index(ageBounds[:], a.Days)
	switch {
	case at == 0:
		return fmt.Sprintf("less than %d days", a.Days)
	case at > 0:
		return fmt.Sprintf("%d to %d days", ageBounds[at-1], a.Days)
	}
	return fmt.Sprintf("%d days and more", ageBounds[len(ageBounds)-1])
}

// kindOf is the type and size of a key.
func kindOf(k authkeys.Key) string { return fmt.Sprintf("%s %d", k.Type(), k.Bits()) }

// textDigest prints who loses access, and tables of what there is.
func textDigest(out *page, r Report, d Digest) {
	textLockouts(out, r, d)
	textReasons(out, d.Reasons)
	textCluster(out, d)
	fates := func(title string) {
		fmt.Fprintf(out, "%s%9s%9s%9s%9s\n", out.paint(bold, fmt.Sprintf("%-42s", title)), "stay", "go", "new", "open")
	}
	line := func(title string, f Fates) {
		fmt.Fprintf(out, "  %-40s%9d%9d%9d%9d\n", title, f.Stay, f.Go, f.New, f.Left)
	}
	if len(d.Keys) > 0 {
		fates("lines by key")
		for _, k := range d.Keys[:min(len(d.Keys), maxRows)] {
			line(fmt.Sprintf("%s %d", k.Type, k.Bits), k.Fates)
		}
		out.more(len(d.Keys), maxRows)
		fmt.Fprintln(out)
	}
	if len(d.Ages) > 1 || len(d.Ages) == 1 && !d.Ages[0].Unknown {
		fates("lines by how long the key is registered")
		for _, a := range d.Ages {
			line(a.Title(), a.Fates)
		}
		fmt.Fprintln(out)
	}
	if len(d.Homes) > 1 {
		out.title(bold, "%-42s%9s", "accounts by their homes", "accounts")
		for _, h := range d.Homes {
			fmt.Fprintf(out, "  %-40s%9d\n", h.State.Title(), h.Accounts)
		}
		fmt.Fprintln(out)
	}
}

// textLockouts prints who cannot log in any more.
func textLockouts(out *page, r Report, d Digest) {
	lose := "lose"
	if r.Applied {
		lose = "have lost"
	}
	shut := d.Shut()
	person := func(l Lockout) { textLockout(out, l) }
	rows(out, red, fmt.Sprintf("people who %s access and have no other granted key: %d", lose, shut), d.Lockouts[:shut], person)
	rows(out, yellow, fmt.Sprintf("people who %s access by their files, and whose granted keys are in none of them: %d", lose, len(d.Lockouts)-shut), d.Lockouts[shut:], person)
}

// why numbers the keys that go by their reasons.
func (l Lockout) why() string {
	numbers := make(map[policy.Reason]int)
	for _, lost := range l.Lost {
		numbers[lost.Reason]++
	}
	var parts []string
	for _, reason := range slices.Sorted(maps.Keys(numbers)) {
		parts = append(parts, fmt.Sprintf("%d %s", numbers[reason], reason))
	}
	return strings.Join(parts, ", ")
}

func textLockout(out *page, l Lockout) {
	text := cmp.Or(l.why(), "a file that cannot be read")
	if l.Granted > 0 {
		text += fmt.Sprintf("; granted: %d", l.Granted)
	}
	if l.Unsure {
		text += "; not sure: one of the files could not be read or decided"
	}
	if l.Mode != "" && l.Mode != enforce {
		text += "; mode " + l.Mode
	}
	out.fold(plainInk, "  "+plain.Text(l.User)+":", text, "      ")
}

// sign is what stands before a line.
func sign(action string) (string, ink) {
	switch action {
	case ActionRemove:
		return "-", red
	case ActionReplace:
		return "!", yellow
	case ActionRewrite:
		return "~", yellow
	case ActionAdd:
		return "+", green
	}
	return "=", plainInk
}

func textReasons(out *page, list []ReasonTally) {
	if len(list) == 0 {
		return
	}
	out.title(bold, "%-42s%9s%9s", "by reason", "number", "accounts")
	for _, t := range list {
		mark, i := sign(t.Action)
		reason := string(t.Reason)
		if t.Action == ActionReplace && t.Reason != enforcer.ReasonUntidy {
			reason += ", the whole file"
		}
		fmt.Fprintf(out, "  %s %-38s%9d%9d\n", out.paint(i, mark), reason, t.Number, t.Accounts)
	}
	fmt.Fprintln(out)
}

// textCluster prints who has keys by which the nodes of a cluster reach each other.
func textCluster(out *page, d Digest) {
	users, losers := d.ClusterUsers()
	if users == 0 {
		return
	}
	out.title(yellow, "people with a key of the cluster itself: %d, who lose one: %d", users, losers)
	of := make(map[Mark][]string)
	var marks []Mark
	for _, k := range d.Cluster {
		if of[k.Mark] == nil {
			marks = append(marks, k.Mark)
		}
		if list := of[k.Mark]; len(list) == 0 || list[len(list)-1] != k.User {
			of[k.Mark] = append(list, k.User)
		}
	}
	slices.Sort(marks)
	for _, m := range marks {
		out.fold(plainInk, "  "+string(m)+":", some(of[m]), "      ")
	}
	if losers > 0 {
		out.wrap("Without such a key ssh between the nodes may no longer work, nor what is started by it.")
	}
	fmt.Fprintln(out)
}
