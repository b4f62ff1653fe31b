package report

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/policy"
)

// ageBounds are the upper bounds of ages, in days.
var ageBounds = [...]int{30, 180, 365, 730} //nolint:gochecknoglobals // a table

type (
	why struct {
		action string
		reason policy.Reason
	}
	kind struct {
		name string
		bits int
	}
)

// tally is a digest in the making.
type tally struct {
	r       Report
	d       Digest
	reasons map[why]*ReasonTally
	keys    map[kind]*Fates
	ages    map[int]*Fates // by the bound; 0: older, unknown: not known
	homes   map[HomeState]int
	files   map[homes.State]int
}

const unknown = -1

// Digest adds up a report.
func (r Report) Digest() Digest {
	t := tally{
		r: r, d: Digest{Counts: r.Count()}, reasons: make(map[why]*ReasonTally), keys: make(map[kind]*Fates),
		ages: make(map[int]*Fates), homes: make(map[HomeState]int), files: make(map[homes.State]int),
	}
	for _, result := range r.Results {
		t.account(result)
	}
	t.finish()
	return t.d
}

// account adds one account.
func (t *tally) account(result enforcer.Result) {
	user := result.Account.Name
	t.d.Private = append(t.d.Private, t.r.privates(result)...)
	if result.Err != nil {
		for line := range strings.SplitSeq(result.Err.Error(), "\n") {
			t.d.Open = append(t.d.Open, Finding{User: user, Detail: line, Pressing: true})
		}
	}
	told := make(map[why]bool)
	for _, p := range result.Plans {
		t.files[p.State]++
		t.findings(p)
		t.plan(p, told)
	}
	before, after, unseen := t.access(result)
	t.homes[t.r.state(result, after)]++
	if (before > 0 || unseen) && after == 0 {
		t.lockout(result, unseen)
	}
}

// reason counts n of one action and reason; told has those that count for the account already.
func (t *tally) reason(told map[why]bool, action string, reason policy.Reason, n int) {
	if n == 0 {
		return
	}
	w := why{action, reason}
	if t.reasons[w] == nil {
		t.reasons[w] = &ReasonTally{Action: action, Reason: reason}
	}
	t.reasons[w].Number += n
	if !told[w] {
		told[w] = true
		t.reasons[w].Accounts++
	}
}

// plan counts the lines of one file.
func (t *tally) plan(p enforcer.Plan, told map[why]bool) {
	counts := t.r.counts(p)
	stuck := p.Unresolved != "" || p.Change && !counts
	for _, part := range []struct {
		action string
		list   []enforcer.Decision
	}{{ActionKeep, p.Keep}, {ActionRewrite, p.Rewrite}, {ActionRemove, p.Remove}} {
		for _, d := range part.list {
			fate := Fates{Stay: 1}
			action := part.action
			switch {
			case stuck:
				fate, action = Fates{Left: 1}, ActionKeep
			case action == ActionRemove:
				fate = Fates{Go: 1}
			}
			t.key(p, d.Line, fate, action)
			switch {
			case d.Reason == policy.ReasonHeld:
				t.reason(told, ActionHold, d.Reason, 1)
			case counts && part.action != ActionKeep:
				t.reason(told, part.action, d.Reason, 1)
			}
		}
	}
	if !counts {
		return
	}
	if p.Whole.Reason != "" {
		t.reason(told, ActionReplace, p.Whole.Reason, 1)
	}
	for _, g := range p.Add {
		t.key(p, g.Line(), Fates{New: 1}, ActionAdd)
	}
	t.reason(told, ActionAdd, policy.ReasonGranted, len(p.Add))
}

// key counts a line with a key.
func (t *tally) key(p enforcer.Plan, line authkeys.Line, fate Fates, action string) {
	if line.Key.IsZero() {
		return
	}
	k := kind{line.Key.Type(), line.Key.Bits()}
	if t.keys[k] == nil {
		t.keys[k] = &Fates{}
	}
	t.keys[k].add(fate)
	bound := t.r.ageOf(Holding{p.Account.Name, line.Key})
	if t.ages[bound] == nil {
		t.ages[bound] = &Fates{}
	}
	t.ages[bound].add(fate)
	if mark := markOf(p.Account.Name, t.r.Host, line.Comment); mark != "" && action != ActionAdd {
		t.d.Cluster = append(t.d.Cluster, ClusterKey{p.Account.Name, p.Path(), line, mark, action})
	}
}

func (f *Fates) add(g Fates) {
	f.Stay, f.Go, f.New, f.Left = f.Stay+g.Stay, f.Go+g.Go, f.New+g.New, f.Left+g.Left
}

// ageOf is the bound of the age of a registration in days, 0 above the last, or unknown.
func (r Report) ageOf(h Holding) int {
	seen := r.Seen[h]
	if seen.IsZero() {
		return unknown
	}
	for _, days := range ageBounds {
		if r.Made.Sub(seen) < time.Duration(days)*24*time.Hour {
			return days
		}
	}
	return 0
}

// findings tells what is wrong with a file.
func (t *tally) findings(p enforcer.Plan) {
	of := Finding{User: p.Account.Name, Path: p.Path()}
	add := func(list *[]Finding, detail string, pressing, mended bool) {
		of.Detail, of.Pressing, of.Mended = detail, pressing, mended
		*list = append(*list, of)
	}
	switch {
	case p.Unresolved != "":
		add(&t.d.Open, p.Unresolved, p.Pressing(), false)
	case p.Change && t.r.Applied && !p.Done && t.r.enforces(p.Account.Name):
		add(&t.d.Open, "the change was not carried out", true, false)
	}
	if p.Whole.Reason == enforcer.ReasonUntidy {
		add(&t.d.Modes, p.Whole.Detail, false, t.r.counts(p))
	}
	if p.Remark != "" {
		add(&t.d.Modes, p.Remark, true, false)
	}
}

// enforces reports whether plans of a user are carried out.
func (r Report) enforces(user string) bool {
	mode := r.Modes[user]
	return mode == "" || mode == enforce
}

// access counts the lines by which an account can log in, in the files as they were found and as they are to be. Unseen says that
// a file is replaced of which nothing could be read.
func (t *tally) access(result enforcer.Result) (before, after int, unseen bool) {
	for _, p := range result.Plans {
		n := entries(p.Original)
		before += n
		if !t.r.counts(p) {
			after += n
			continue
		}
		after += entries(p.After)
		unseen = unseen || len(p.Original) == 0 && (p.State == homes.Unreadable || p.State == homes.BadDir)
	}
	return before, after, unseen
}

func entries(text []byte) (n int) {
	for _, line := range authkeys.Parse(text) {
		if line.Kind == authkeys.Entry {
			n++
		}
	}
	return n
}

// stateOf is the worst that is to be said of an account.
func (r Report) stateOf(result enforcer.Result) HomeState {
	t := tally{r: r}
	_, keys, _ := t.access(result)
	return r.state(result, keys)
}

// state is stateOf one that has a number of lines with a key.
func (r Report) state(result enforcer.Result, keys int) HomeState {
	has := func(is func(enforcer.Plan) bool) bool { return slices.ContainsFunc(result.Plans, is) }
	switch {
	case result.Err != nil:
		return HomeError
	case has(func(p enforcer.Plan) bool { return p.Unresolved != "" }):
		return HomeOpen
	case has(func(p enforcer.Plan) bool { return p.Change && !r.counts(p) }):
		return HomeLeft
	case has(r.counts):
		return HomeChange
	case len(result.Unkept) > 0:
		return HomeUnkept
	case has(func(p enforcer.Plan) bool { return p.Remark != "" }):
		return HomeExposed
	case result.NoHome:
		return HomeNone
	case keys == 0:
		return HomeWithout
	}
	return HomeInLine
}

// lockout notes that an account has no key left.
func (t *tally) lockout(result enforcer.Result, unseen bool) {
	user := result.Account.Name
	l := Lockout{User: user, Mode: t.r.Modes[user], Granted: t.r.Granted[user], Unsure: unseen || result.Err != nil}
	for _, p := range result.Plans {
		l.Unsure = l.Unsure || p.Pressing()
		for _, d := range p.Remove {
			if d.Line.Kind == authkeys.Entry {
				l.Lost = append(l.Lost, Lost{p.Path(), d})
			}
		}
	}
	t.d.Lockouts = append(t.d.Lockouts, l)
}

// finish makes lists of what was counted, in their orders.
func (t *tally) finish() {
	d := &t.d
	sortPrivate(d.Private)
	slices.SortStableFunc(d.Lockouts, func(a, b Lockout) int { return cmp.Compare(min(a.Granted, 1), min(b.Granted, 1)) })
	slices.SortStableFunc(d.Open, func(a, b Finding) int { return cmp.Compare(a.rank(), b.rank()) })
	for _, tally := range t.reasons {
		d.Reasons = append(d.Reasons, *tally)
	}
	order := []string{ActionRemove, ActionReplace, ActionHold, ActionRewrite, ActionAdd}
	slices.SortFunc(d.Reasons, func(a, b ReasonTally) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Action), slices.Index(order, b.Action)), cmp.Compare(b.Number, a.Number), cmp.Compare(a.Reason, b.Reason))
	})
	for k, fates := range t.keys {
		d.Keys = append(d.Keys, KeyTally{k.name, k.bits, *fates})
	}
	slices.SortFunc(d.Keys, func(a, b KeyTally) int {
		return cmp.Or(cmp.Compare(b.Lines(), a.Lines()), cmp.Compare(a.Type, b.Type), cmp.Compare(a.Bits, b.Bits))
	})
	for _, bound := range append(ageBounds[:], 0, unknown) {
		if fates := t.ages[bound]; fates != nil {
			d.Ages = append(d.Ages, AgeTally{max(bound, 0), bound == unknown, *fates})
		}
	}
	for _, state := range homeStates() {
		if n := t.homes[state]; n > 0 {
			d.Homes = append(d.Homes, HomeTally{state, n})
		}
	}
	for _, state := range slices.Sorted(maps.Keys(t.files)) {
		d.Files = append(d.Files, FileTally{state, t.files[state]})
	}
}

// rank is the place of a finding in a list of what is open.
func (f Finding) rank() int {
	if f.Pressing {
		return 0
	}
	return 1
}
