package report

import (
	"fmt"
	"slices"
	"strconv"
)

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
		keys.Bars = append(keys.Bars, htmlBar{Label: k.Type + " " + strconv.Itoa(k.Bits), Fates: k.Fates})
	}
	ages := htmlChart{ID: "ages", Title: "Keys by age of registration", Head: "Registered for", Fates: true, Lead: "How long a key in a file has been registered to that user, as far as keyreeve has seen it. Unregistered keys have no age."}
	for _, a := range d.Ages {
		ages.Bars = append(ages.Bars, htmlBar{Label: a.Title(), Fates: a.Fates})
	}
	states := htmlChart{ID: "homes", Title: "Homes by state", Head: "Accounts", Fates: true, Lead: "Every account counts once, by the worst that is to be said of it."}
	now, after := make(map[HomeState]int), r.settled()
	for _, h := range d.Homes {
		now[h.State] = h.Accounts
	}
	for _, state := range homeStates() {
		if a, b := now[state], after[state]; a+b > 0 {
			states.Bars = append(states.Bars, htmlBar{Label: state.Title(), Fates: Fates{Stay: min(a, b), Go: max(0, a-b), New: max(0, b-a)}})
		}
	}
	return []htmlChart{keys.scaled(), reasonsOf(d.Reasons, "Lines; whole files where they are replaced."), ages.scaled(), states.scaled()}
}

func reasonsOf(list []ReasonTally, lead string) htmlChart {
	c := htmlChart{ID: "reasons", Title: "Findings by reason", Head: "What and why", Lead: lead}
	for _, t := range list {
		c.Bars = append(c.Bars, htmlBar{Label: t.Action + ": " + string(t.Reason), Grade: actionGrade(t.Action), Number: t.Number})
	}
	return c.scaled()
}

// settled counts accounts by the states that they have when the plans are carried out. What is not resolved stays so.
func (r Report) settled() map[HomeState]int {
	counts := make(map[HomeState]int)
	for _, result := range r.Results {
		keys := r.access(result).after
		result.Plans = slices.Clone(result.Plans)
		for i, p := range result.Plans {
			result.Plans[i].Change = p.Change && !r.counts(p)
		}
		counts[r.state(result, keys)]++
	}
	return counts
}

// actionGrade is the class of a bar for what becomes of a line.
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
