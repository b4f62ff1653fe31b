package report

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/plain"
	"github.com/keyreeve/keyreeve/policy"
)

// htmlAlert is what must be known before any number is believed.
type htmlAlert struct {
	Text   string
	People []string
}

func alertsOf(r Report) (alerts []htmlAlert) {
	if w := r.WhatIf; w != nil {
		alerts = append(alerts, htmlAlert{Text: "What if: this is " + w.supposed() + ". Nothing is changed, now or then."})
	}
	if r.Held != "" {
		alerts = append(alerts, htmlAlert{Text: "This is made by the last good reading of the registry. A later one is held, since it lost too much: " + plain.Text(r.Held)})
	}
	if r.Brake.On() {
		alerts = append(alerts, htmlAlert{"The brake is on since " + minute(r.Brake.Tripped) + ". These people have lost a registered key, and more would:", plainNames(r.Brake.People)})
	}
	if len(r.Trips) > 0 {
		alerts = append(alerts, htmlAlert{"This would trip the brake. These people and others would lose a registered key at once:", plainNames(r.Trips)})
	}
	return alerts
}

// plainNames makes names plain, not too many of them.
func plainNames(names []string) (list []string) {
	for _, name := range names[:min(len(names), sideRows)] {
		list = append(list, plain.Text(name))
	}
	if more := len(names) - sideRows; more > 0 {
		list = append(list, "and "+number(more)+" more")
	}
	return list
}

// htmlCard is one of the numbers that come first. Its grade, bad, warn or good, is a colour only.
type htmlCard struct{ Grade, Number, Label, Detail, Link string }

// cardsOf says in four numbers what a report comes to.
func cardsOf(r Report, d Digest, rows []htmlRow) []htmlCard {
	lose, work := "people lose access", "unregistered keys log in today"
	if r.Applied {
		lose, work = "people have lost access", "unregistered keys were found"
	}
	unknown, hidden, people := 0, 0, make(map[string]bool)
	for _, row := range rows {
		if row.unregistered {
			unknown++
			people[row.User] = true
		}
		if row.hides {
			hidden++
		}
	}
	where := "in the files of " + number(len(people)) + " people"
	if hidden > 0 {
		where += "; what else is in " + number(hidden) + " files nobody has seen"
	}
	shut := number(d.Shut()) + " of them have no other granted key"
	if d.Shut() == len(d.Lockouts) {
		shut = "none of them has another granted key"
	}
	if len(d.Lockouts) == 0 {
		shut = "everyone who has a key keeps one"
	}
	open := len(d.Open) + d.Counts.Unkept
	inLine := 0
	for _, h := range d.Homes {
		if h.State == HomeInLine || h.State == HomeWithout || h.State == HomeNone {
			inLine += h.Accounts
		}
	}
	return []htmlCard{
		{gradeOf(len(d.Lockouts), "bad"), number(len(d.Lockouts)), lose, shut, "#lockouts"},
		{gradeOf(unknown+hidden, "bad"), number(unknown), work, where, "#findings"},
		{gradeOf(open, "warn"), number(open), "things are not resolved", "never counted as clean; somebody may get in by them", "#open"},
		{"good", number(inLine), "accounts are in line", "of " + number(d.Counts.Accounts) + "; they are counted, not listed", "#homes"},
	}
}

// gradeOf is the grade of a number that were better none.
func gradeOf(n int, grade string) string {
	if n == 0 {
		return "good"
	}
	return grade
}

// htmlTable is a table of plain text, whose first column names its rows. None stands for a table without any.
type htmlTable struct {
	ID, Title, Lead, None string
	Heads                 []string
	Rows                  [][]string
	More                  int
}

// Total is how many rows there are, also those that are cut off.
func (t htmlTable) Total() int { return len(t.Rows) + t.More }

// bounded cuts a table that is too long, and leaves out columns that say nothing.
func (t htmlTable) bounded() htmlTable {
	for i := len(t.Heads) - 1; i > 0; i-- {
		if slices.ContainsFunc(t.Rows, func(row []string) bool { return row[i] != "" }) {
			continue
		}
		t.Heads = slices.Delete(t.Heads, i, i+1)
		for j := range t.Rows {
			t.Rows[j] = slices.Delete(t.Rows[j], i, i+1)
		}
	}
	if len(t.Rows) > sideRows {
		t.Rows = fair(t.Rows, func(row []string) string { return row[0] })
	}
	t.More = max(0, len(t.Rows)-sideRows)
	t.Rows = t.Rows[:len(t.Rows)-t.More]
	return t
}

// peopleTable lists people by the keys that they lose, or will.
func peopleTable(id, title string, people []Person) htmlTable {
	t := htmlTable{ID: id, Title: title, Heads: []string{"User", "Mail", "Other keys", "Reason", "Key", "Detail"}}
	for _, p := range alonest(people) {
		for _, d := range p.Keys {
			t.Rows = append(t.Rows, []string{plain.Text(p.User), plain.Text(p.Mail), number(p.Others), string(d.Reason), d.Key.Fingerprint(), plain.Text(d.Detail)})
		}
	}
	return t
}

// told says how many people they are, at the head of a peopleTable.
func told(people []Person) string {
	return number(len(people)) + " people, " + number(alone(people)) + " with no other key."
}

// supposedOf is about a report of what is supposed.
func supposedOf(r Report) []htmlTable {
	if r.WhatIf == nil {
		return nil
	}
	t := peopleTable("what-if", "Who would lose a key", r.WhatIf.Losers)
	t.Lead = told(r.WhatIf.Losers) + " In force are the rules: " + r.WhatIf.InForce + "."
	return filled(t)
}

// soonOf is about rules that end.
func soonOf(r Report) htmlTable {
	t := peopleTable("soon", "Refused soon", r.Soon)
	t.Lead = told(r.Soon) + " Their keys work, until a rule ends."
	return t
}

// lockoutsOf lists who has no key left.
func lockoutsOf(r Report, d Digest) htmlTable {
	t := htmlTable{
		ID: "lockouts", Title: "Who loses access", None: "Nobody: everyone who has a key that logs in keeps one.",
		Lead:  "No key of theirs is left in their files. Help these people first: one registered key that the policy accepts is enough for each. Those who have one that is in no file get in where sshd asks keyreeve-keys. It comes to this in mode enforce alone.",
		Heads: []string{"User", "Mode", "Keys that go, and why", "Granted, in no file", "Remarks"},
	}
	if r.Applied {
		t.Title, t.None = "Who has lost access", "Nobody: everyone who had a key that logs in has kept one."
	}
	for _, l := range d.Lockouts {
		var remarks []string
		if left := r.Departed[l.User]; !left.IsZero() {
			remarks = append(remarks, "left the registry by "+day(left))
		}
		if l.Unsure {
			remarks = append(remarks, "not all of the files could be read")
		}
		t.Rows = append(t.Rows, []string{plain.Text(l.User), l.Mode, l.why(), strconv.Itoa(l.Granted), strings.Join(remarks, "; ")})
	}
	return t.bounded()
}

// openOf lists what is not resolved, and files that are read and not kept.
func openOf(r Report, d Digest) htmlTable {
	t := htmlTable{
		ID: "open", Title: "What is not resolved", None: "Nothing: every file was read, and can be changed.",
		Lead:  "Nothing is known of these, or nothing can be done about them by keyreeve alone.",
		Heads: []string{"User", "File", "What", "May let somebody in"},
	}
	accounts := r.unkept()
	for _, u := range slices.SortedFunc(maps.Keys(accounts), func(a, b homes.Unkept) int {
		return cmp.Or(strings.Compare(a.Path, b.Path), strings.Compare(a.Why, b.Why))
	}) {
		t.Rows = append(t.Rows, []string{"accounts: " + number(accounts[u]), plain.Text(u.Path), "read by sshd, not kept: " + plain.Text(u.Why), "yes"})
	}
	for _, f := range d.Open {
		presses := "no: sshd finds no key there"
		if f.Pressing {
			presses = "yes"
		}
		t.Rows = append(t.Rows, []string{plain.Text(f.User), plain.Text(f.Path), plain.Text(f.Detail), presses})
	}
	return t.bounded()
}

// sidesOf lists what else there is to know.
func sidesOf(r Report, d Digest) []htmlTable {
	return filled(
		modesOf(d), deniedOf(r), rejectsTable("rejects", "Values of the registry that are no keys", r.Rejects),
		rejectsTable("remarks", "Values of the registry with a remark", r.Remarks), sharedOf(r), exceptionsOf(r), skipsOf(r),
	)
}

// filled bounds tables and leaves out those without rows.
func filled(tables ...htmlTable) (list []htmlTable) {
	for _, t := range tables {
		if len(t.Rows) > 0 {
			list = append(list, t.bounded())
		}
	}
	return list
}

// htmlSection is a part of a page, to be gone to.
type htmlSection struct {
	ID, Title string
	Total     int
}

func sectionsOf(p htmlPage) (list []htmlSection) {
	for _, t := range p.First {
		list = append(list, htmlSection{t.ID, t.Title, t.Total()})
	}
	for _, c := range p.Charts {
		list = append(list, htmlSection{c.ID, c.Title, 0})
	}
	list = append(list, htmlSection{"findings", "All findings", p.Total})
	for _, t := range p.Sides {
		list = append(list, htmlSection{t.ID, t.Title, t.Total()})
	}
	return list
}

func clusterOf(d Digest) htmlTable {
	t := htmlTable{
		ID: "cluster", Title: "Keys of the cluster itself", Heads: []string{"User", "File", "Key", "Comment", "Mark", "What becomes of it"},
		Lead: "The tools of clusters put them into their users' files. Without them ssh between the nodes may no longer work, nor what is started by it.",
	}
	for _, k := range d.Cluster {
		t.Rows = append(t.Rows, []string{plain.Text(k.User), plain.Text(k.Path), k.Line.Key.Fingerprint(), plain.Cut(k.Line.Comment, foreignBound), string(k.Mark), k.Action})
	}
	return t
}

func modesOf(d Digest) htmlTable {
	t := htmlTable{ID: "modes", Title: "Wrong owners and modes", Heads: []string{"User", "File", "What", "Put right"}}
	for _, f := range d.Modes {
		mended := "no"
		if f.Mended {
			mended = "yes"
		}
		t.Rows = append(t.Rows, []string{plain.Text(f.User), plain.Text(f.Path), plain.Text(f.Detail), mended})
	}
	return t
}

// deniedOf lists registered keys that do not count, but for those of other hosts, which are no fault.
func deniedOf(r Report) htmlTable {
	t := htmlTable{ID: "denied", Title: "Registered, but refused", Heads: []string{"User", "Reason", "Key", "Detail"}}
	for _, d := range r.Denied {
		if d.Reason != policy.ReasonAccountElsewhere {
			t.Rows = append(t.Rows, []string{plain.Text(d.User), string(d.Reason), d.Key.Fingerprint(), plain.Text(d.Detail)})
		}
	}
	return t
}

func rejectsTable(id, title string, list []Reject) htmlTable {
	t := htmlTable{ID: id, Title: title, Heads: []string{"User", "Code", "Where", "Detail"}}
	for _, j := range list {
		t.Rows = append(t.Rows, []string{plain.Text(j.User), j.Code, plain.Text(j.Origin), plain.Text(j.Detail)})
	}
	return t
}

func sharedOf(r Report) htmlTable {
	t := htmlTable{ID: "shared", Title: "One key of several people", Heads: []string{"Key", "People"}}
	for _, s := range r.Shared {
		t.Rows = append(t.Rows, []string{s.Key.Fingerprint(), some(s.Users)})
	}
	return t
}

func exceptionsOf(r Report) htmlTable {
	t := htmlTable{ID: "exceptions", Title: "Exceptions", Heads: []string{"User", "Key", "Until", "Owner", "Reason", "Grants nothing"}}
	for _, e := range r.Exceptions {
		t.Rows = append(t.Rows, []string{plain.Text(e.User), e.Key.Fingerprint(), day(e.Until), plain.Text(e.Owner), plain.Text(e.Reason), plain.Text(e.Idle)})
	}
	return t
}

func skipsOf(r Report) htmlTable {
	t := htmlTable{ID: "skips", Title: "Accounts that are left alone", Heads: []string{"Account", "Why"}}
	for _, s := range r.Skips {
		t.Rows = append(t.Rows, []string{plain.Text(s.User), plain.Text(s.Why)})
	}
	return t
}
