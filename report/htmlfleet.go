package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/keyreeve/keyreeve/policy"
)

// FleetHTML prints a fleet as one page for a browser, as HTML does. Its findings are the keys that do not simply stay, each once.
func FleetHTML(w io.Writer, f *Fleet) error {
	c := f.Count()
	rows := fleetRows(f)
	p := htmlPage{
		Brand: "keyreeve · reports of many hosts, merged", Title: "What would change on " + number(c.Hosts) + " hosts", Where: "Hosts", Facts: fleetFacts(f),
		Sums:   []htmlSum{{"People with a key", number(c.People)}, {"keys", number(c.Keys)}, {"keys of the clusters themselves", number(c.Cluster)}},
		Alerts: slices.Concat(fleetOdd(f, "The hosts differ in their policy:", func(h FleetHost) string { return h.Policy }), fleetOdd(f, "The hosts differ in their registry:", func(h FleetHost) string { return h.Source })),
		First:  []htmlTable{fleetLockouts(f), fleetOpen(f), fleetHosts(f)},
		Charts: []htmlChart{fleetKeys(f), reasonsOf(f.Reasons(), "Keys that go on any host, each once.")},
	}
	if c.Hosts > 0 && f.Hosts[0].Supposed != "" {
		p.Title = "What if, on " + number(c.Hosts) + " hosts"
		p.Alerts = slices.Insert(p.Alerts, 0, htmlAlert{Text: "What if: this is " + f.Hosts[0].Supposed + ". Nothing is changed, now or then."})
	}
	if held := f.held(); len(held) > 0 {
		var names []string
		for _, h := range held {
			names = append(names, h.Host)
		}
		p.Alerts = append(p.Alerts, htmlAlert{"These hosts are by the last good reading of the registry. A later one is held, since it lost too much:", plainNames(names)})
	}
	shut := 0
	for _, l := range f.Lockouts() {
		if l.Granted == 0 {
			shut++
		}
	}
	p.Cards = []htmlCard{
		{gradeOf(c.Lockouts, "bad"), number(c.Lockouts), "people lose access on some host", number(shut) + " of them have no other granted key", "#lockouts"},
		{gradeOf(c.Go, "bad"), number(c.Go), "keys go", "of " + number(c.Keys) + ", a key of one user counted once", "#findings"},
		{gradeOf(c.Split, "warn"), number(c.Split), "keys go on one host and stay on another", "the hosts do not agree about them", "#findings"},
		{gradeOf(c.Open, "warn"), number(c.Open), "things are not resolved", "never counted as clean; somebody may get in by them", "#open"},
	}
	return p.with(rows).print(w)
}

// fleetFacts says of when the reports are.
func fleetFacts(f *Fleet) string {
	if len(f.Hosts) == 0 {
		return "no report"
	}
	first, last := f.span()
	return "made from " + minute(first) + " to " + minute(last)
}

// fleetOdd warns where hosts differ in what should be the same everywhere.
func fleetOdd(f *Fleet, text string, of func(FleetHost) string) []htmlAlert {
	hosts := make(map[string][]string)
	var values, lines []string
	for _, h := range f.Hosts {
		if hosts[of(h)] == nil {
			values = append(values, of(h))
		}
		hosts[of(h)] = append(hosts[of(h)], h.Host)
	}
	if len(values) < 2 {
		return nil
	}
	for _, v := range values[:min(len(values), sideRows)] {
		lines = append(lines, some(hosts[v])+": "+v)
	}
	return []htmlAlert{{text, lines}}
}

// fleetRows lists the keys of which a line goes, comes or is not decided; the worst first.
func fleetRows(f *Fleet) (rows []htmlRow) {
	actions := map[Fate]string{FateGo: ActionRemove, FateOpen: actionOpen, FateNew: ActionAdd}
	for _, k := range f.Keys() {
		worst := k.Worst()
		if worst == FateStay {
			continue
		}
		row := htmlRow{Action: actions[worst], User: k.User, Locked: f.shut[k.User] != nil, Key: k.Type + " " + strconv.Itoa(k.Bits), Fingerprint: k.Fingerprint, Comment: k.Comment}
		var all []int
		of := make(map[string][]int)
		var told []string
		for _, fate := range k.Fates {
			text := strings.TrimRight(string(fate.Fate)+" "+fate.Reason, " ")
			if of[text] == nil {
				told = append(told, text)
			}
			of[text], all = append(of[text], fate.Host), append(all, fate.Host)
			if fate.Fate == worst && row.Reason == "" {
				row.Reason = policy.Reason(fate.Reason)
			}
		}
		for i, text := range told {
			told[i] = text + ": " + some(f.names(of[text]))
		}
		row.Path, row.Detail = some(f.names(all)), strings.Join(told, "; ")
		if k.Split() {
			row.Detail = "the hosts differ: " + row.Detail
		}
		rows = append(rows, row)
	}
	behind(rows)
	order := []string{ActionRemove, actionOpen, ActionAdd}
	slices.SortStableFunc(rows, func(a, b htmlRow) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Action), slices.Index(order, b.Action)), cmp.Compare(a.turn, b.turn))
	})
	return rows
}

func fleetLockouts(f *Fleet) htmlTable {
	t := htmlTable{
		ID: "lockouts", Title: "Who loses access", None: "Nobody: everyone who has a key that logs in keeps one, on each host.",
		Lead: "On these hosts no key of theirs is left in their files.", Heads: []string{"User", "Hosts", "Granted, in no file", "Remarks"},
	}
	for _, l := range f.Lockouts() {
		remark := ""
		if l.Unsure {
			remark = "not all of the files could be read"
		}
		t.Rows = append(t.Rows, []string{l.User, some(f.names(l.Hosts)), number(l.Granted), remark})
	}
	return t.bounded()
}

func fleetOpen(f *Fleet) htmlTable {
	t := htmlTable{
		ID: "open", Title: "What is not resolved", None: "Nothing: every file was read, and can be changed.",
		Lead: "Nothing is known of these, or nothing can be done about them by keyreeve alone.", Heads: []string{"User", "File", "What", "Hosts"},
	}
	for _, o := range f.Open() {
		t.Rows = append(t.Rows, []string{o.User, o.Path, o.Detail, some(f.names(o.Hosts))})
	}
	return t.bounded()
}

func fleetHosts(f *Fleet) htmlTable {
	t := htmlTable{ID: "hosts", Title: "Hosts", Heads: []string{"Host", "Made", "Accounts", "With a change", "Lines to remove", "Errors", "People who lose access"}}
	for _, h := range f.Hosts {
		t.Rows = append(t.Rows, []string{h.Host, minute(h.Made), number(h.Counts.Accounts), number(h.Counts.Pending), number(h.Counts.Remove), number(h.Counts.Errors), number(h.Lockouts)})
	}
	return t.bounded()
}

// fleetKeys counts keys by type and size, and by the worst that becomes of each.
func fleetKeys(f *Fleet) htmlChart {
	c := htmlChart{ID: "keys", Title: "Keys by type and size", Head: "Key", Fates: true, Lead: "A key of one user counts once, by the worst that becomes of it on any host."}
	at := make(map[string]*Fates)
	var names []string
	for _, k := range f.Keys() {
		name := fmt.Sprintf("%s %d", k.Type, k.Bits)
		if at[name] == nil {
			at[name] = &Fates{}
			names = append(names, name)
		}
		at[name].add(map[Fate]Fates{FateStay: {Stay: 1}, FateNew: {New: 1}, FateOpen: {Left: 1}, FateGo: {Go: 1}}[k.Worst()])
	}
	slices.Sort(names)
	for _, name := range names {
		c.Bars = append(c.Bars, htmlBar{Label: name, Fates: *at[name]})
	}
	return c.scaled()
}
