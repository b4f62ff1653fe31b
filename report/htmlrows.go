package report

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/plain"
	"github.com/keyreeve/keyreeve/policy"
)

// What a row of a page says beside the actions of digests.
const (
	actionError  = "error"
	actionOpen   = "not decided"
	actionRemark = "remark"
)

// actionRank is the place of an action among the findings: what nobody decided, by which anybody may get in, before what is put right.
func actionRank(action string) int {
	return slices.Index([]string{actionError, actionOpen, ActionRemove, ActionReplace, ActionHold, ActionRewrite, ActionAdd, actionRemark}, action)
}

// htmlRow is one thing about one account that is not in order. Its strings are plain.
type htmlRow struct {
	Action       string
	User, Mode   string
	Locked       bool // the account has no key left
	Path         string
	Line         int
	Key          string // type and size
	Fingerprint  string
	Comment      string
	Reason       policy.Reason
	Detail       string
	harmless     bool
	unregistered bool
	turn         int                   // how many times the account had its share before
	hides        bool                  // a file of which not all was read
	refused      map[authkeys.Key]bool // the keys of the user that are registered, and do not count
}

// data is a row as the page's script has it.
func (h htmlRow) data() []any {
	locked := 0
	if h.Locked {
		locked = 1
	}
	return []any{h.Action, h.User, h.Mode, locked, h.Path, h.Line, h.Key, h.Fingerprint, h.Comment, h.Reason, h.Detail}
}

// htmlRows lists what is not in order, what presses first.
func htmlRows(r Report, d Digest) (rows []htmlRow) {
	locked := make(map[string]bool)
	for _, l := range d.Lockouts {
		locked[l.User] = true
	}
	refused := make(map[string]map[authkeys.Key]bool)
	for _, denied := range r.Denied {
		if refused[denied.User] == nil {
			refused[denied.User] = make(map[authkeys.Key]bool)
		}
		refused[denied.User][denied.Key] = true
	}
	for _, result := range r.Results {
		name := result.Account.Name
		of := htmlRow{User: plain.Text(name), Mode: r.Modes[name], Locked: locked[name], refused: refused[name]}
		if result.Err != nil {
			for line := range strings.SplitSeq(result.Err.Error(), "\n") {
				row := of
				row.Action, row.Detail = actionError, plain.Text(line)
				rows = append(rows, row)
			}
		}
		for _, p := range result.Plans {
			rows = append(rows, of.file(p)...)
		}
	}
	behind(rows)
	slices.SortStableFunc(rows, func(a, b htmlRow) int {
		return cmp.Or(cmp.Compare(actionRank(a.Action), actionRank(b.Action)), first(!a.harmless, !b.harmless), cmp.Compare(a.turn, b.turn), first(a.Locked, b.Locked),
			first(a.unregistered, b.unregistered), strings.Compare(a.User, b.User))
	})
	return rows
}

// behind puts what one account has more than maxTurn of behind the others', as fair does, and for each action alone.
func behind(rows []htmlRow) {
	type of struct {
		user, action string
		unregistered bool
	}
	seen := make(map[of]int)
	for i, row := range rows {
		key := of{row.User, row.Action, row.unregistered}
		rows[i].turn = seen[key] / maxTurn
		seen[key]++
	}
}

// first puts what holds before what does not.
func first(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// file lists the rows of one file.
func (h htmlRow) file(p enforcer.Plan) (rows []htmlRow) {
	h.Path = plain.Text(p.Path())
	whole := func(action string, reason policy.Reason, detail string) {
		row := h
		row.Action, row.Reason, row.Detail, row.harmless = action, reason, plain.Text(detail), p.Harmless
		rows = append(rows, row)
	}
	if p.Unresolved != "" {
		whole(actionOpen, "", p.Unresolved)
	}
	if p.Whole.Reason != "" {
		whole(ActionReplace, p.Whole.Reason, p.Whole.Detail)
		rows[len(rows)-1].hides = hides(p)
	}
	if p.Remark != "" {
		whole(actionRemark, "", p.Remark)
	}
	for _, d := range p.Keep {
		if d.Reason == policy.ReasonHeld {
			rows = append(rows, h.line(ActionHold, d.Line, d.Verdict))
		}
	}
	for _, d := range p.Remove {
		row := h.line(ActionRemove, d.Line, d.Verdict)
		row.unregistered = h.stranger(d)
		rows = append(rows, row)
	}
	for _, d := range p.Rewrite {
		rows = append(rows, h.line(ActionRewrite, d.Line, d.Verdict))
	}
	for _, g := range p.Add {
		rows = append(rows, h.line(ActionAdd, g.Line(), policy.Verdict{Reason: policy.ReasonGranted}))
	}
	return rows
}

// hides reports whether a file is replaced of which not all is known.
func hides(p enforcer.Plan) bool {
	return slices.Contains([]policy.Reason{enforcer.ReasonOversize, enforcer.ReasonUnreadable, enforcer.ReasonBadDir}, p.Whole.Reason) ||
		p.Whole.Reason == enforcer.ReasonSymlink && len(p.Original) == 0
}

// stranger reports whether somebody logs in by a line with a key that is not registered to its user, whatever else is wrong with that key: a short
// one is no less unknown.
func (h htmlRow) stranger(d enforcer.Decision) bool {
	switch {
	case !d.Line.Taken(), d.Reason == enforcer.ReasonDuplicate:
		return false
	case d.Line.Kind == authkeys.Entry && d.Reason == authkeys.ReasonMalformedOptions: // a granted key, whose forced options leave no room for its own
		return false
	case d.Reason == policy.ReasonCertAuthority: // whoever's key it is, it admits others
		return true
	}
	return !h.refused[d.Line.Key]
}

// line is the row of one line.
func (h htmlRow) line(action string, line authkeys.Line, v policy.Verdict) htmlRow {
	h.Action, h.Line, h.Reason, h.Detail, h.Comment = action, line.N, v.Reason, plain.Text(v.Detail), plain.Cut(line.Comment, foreignBound)
	if !line.Key.IsZero() {
		h.Key, h.Fingerprint = kindOf(line.Key), line.Key.Fingerprint()
	}
	return h
}

// htmlFilter chooses findings by one column of their data.
type htmlFilter struct {
	Label  string
	Column int
	Values []htmlValue
}

type htmlValue struct {
	Value string
	Count int
}

func filtersOf(rows []htmlRow) (filters []htmlFilter) {
	for _, f := range []struct {
		label  string
		column int
		of     func(htmlRow) string
	}{
		{"What", 0, func(h htmlRow) string { return h.Action }},
		{"Reason", 9, func(h htmlRow) string { return string(h.Reason) }},
		{"Key", 6, func(h htmlRow) string { return h.Key }},
		{"Mode", 2, func(h htmlRow) string { return h.Mode }},
	} {
		counts := make(map[string]int)
		for _, row := range rows {
			counts[f.of(row)]++
		}
		delete(counts, "") // it stands for all of them
		filter := htmlFilter{Label: f.label, Column: f.column}
		for _, value := range slices.Sorted(maps.Keys(counts)) {
			filter.Values = append(filter.Values, htmlValue{value, counts[value]})
		}
		filters = append(filters, filter)
	}
	return filters
}
