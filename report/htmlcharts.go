package report

import "fmt"

// htmlChart is bars with their numbers: a table to who cannot see the bars. Where Fates is set a bar has what stays, what goes, what is left
// undecided and what is new.
type htmlChart struct {
	ID, Title, Lead, Head string
	Fates                 bool
	Bars                  []htmlBar
}

type htmlBar struct {
	Label, Grade string
	Number       int
	Fates
	longest int // of the chart
}

// Parts are the pieces of a bar from left to right, in percent of the longest bar of the chart.
func (b htmlBar) Parts() (parts []htmlPart) {
	at := 0.0
	for _, p := range []struct {
		class string
		n     int
	}{{b.Grade, b.Number}, {"stay", b.Stay}, {"left", b.Left}, {"go", b.Go}, {"new", b.New}} {
		if p.n == 0 {
			continue
		}
		wide := max(0.6, 100*float64(p.n)/float64(b.longest)) // one of many is to be seen too
		parts = append(parts, htmlPart{p.class, fmt.Sprintf("%.2f", at), fmt.Sprintf("%.2f", wide)})
		at += wide
	}
	return parts
}

type htmlPart struct{ Class, At, Wide string }

// After is how many lines there are after the plans.
func (f Fates) After() int { return f.Stay + f.Left + f.New }

// scaled gives every bar the length of the longest.
func (c htmlChart) scaled() htmlChart {
	longest := 1
	for _, b := range c.Bars {
		longest = max(longest, b.Number+b.Lines()+b.New)
	}
	for i := range c.Bars {
		c.Bars[i].longest = longest
	}
	return c
}

// chartsOf draws what a digest counts.
func chartsOf(r Report, d Digest) []htmlChart {
	keys := htmlChart{ID: "keys", Title: "Keys by type and size", Head: "Key", Fates: true, Lead: "Lines with a key, in all files. The policy takes " + r.Policy + "."}
	for _, k := range d.Keys {
		keys.Bars = append(keys.Bars, htmlBar{Label: keyName(k.Type, k.Bits), Fates: k.Fates})
	}
	reasons := htmlChart{ID: "reasons", Title: "Findings by reason", Head: "What and why", Lead: "Lines; whole files where they are replaced."}
	for _, t := range d.Reasons {
		reasons.Bars = append(reasons.Bars, htmlBar{Label: t.Action + ": " + string(t.Reason), Grade: actionGrade(t.Action), Number: t.Number})
	}
	ages := htmlChart{ID: "ages", Title: "Age of registered keys", Head: "Registered", Fates: true, Lead: "Since when keyreeve has seen a key of a file in the registry, for that user."}
	for _, a := range d.Ages {
		ages.Bars = append(ages.Bars, htmlBar{Label: ageName(a), Fates: a.Fates})
	}
	states := htmlChart{ID: "homes", Title: "Homes by state", Head: "State", Lead: "Every account counts once, by the worst that is to be said of it."}
	for _, h := range d.Homes {
		label, grade := homeName(h.State)
		states.Bars = append(states.Bars, htmlBar{Label: label, Grade: grade, Number: h.Accounts})
	}
	return []htmlChart{keys.scaled(), reasons.scaled(), ages.scaled(), states.scaled()}
}

func actionGrade(action string) string {
	switch action {
	case ActionRemove, ActionReplace:
		return "go"
	case ActionHold:
		return "left"
	case ActionAdd:
		return "new"
	}
	return "stay"
}

// ageName names a span of ages.
func ageName(a AgeTally) string {
	switch {
	case a.Unknown:
		return "never, or not known when"
	case a.Days > 0:
		return fmt.Sprintf("less than %d days ago", a.Days)
	}
	return fmt.Sprintf("%d days ago or more", ageBounds[len(ageBounds)-1])
}

// homeName names a state of homes for people, and grades it.
func homeName(state HomeState) (name, grade string) {
	switch state {
	case HomeError:
		return "could not be looked at", "go"
	case HomeOpen:
		return "a file is not decided", "go"
	case HomeLeft:
		return "a change was not carried out", "left"
	case HomeChange:
		return "a file changes", "left"
	case HomeUnkept:
		return "sshd reads files that are not kept", "left"
	case HomeExposed:
		return "others may write there", "left"
	case HomeNone:
		return "no home yet", "stay"
	case HomeWithout:
		return "in line, without a key", "stay"
	case HomeInLine:
		return "in line", "stay"
	}
	return string(state), "left"
}
