package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/internal/plain"
	"github.com/keyreeve/keyreeve/policy"
)

// RegistryHTML prints the faults of a registry as one page for a browser, as HTML does.
func RegistryHTML(w io.Writer, r Registry) error {
	p := htmlPage{
		Brand: "keyreeve · registry", Title: "What is wrong with the registry", Where: "Origin",
		Facts: fmt.Sprintf("%s, read by %s · %s: %s users, %s keys · the policy takes %s", minute(r.Made), plain.Text(r.Host), plain.Text(r.Source), number(r.Users), number(r.Keys), r.Policy),
	}
	p.Alerts = alertsOf(Report{Held: r.Held})
	counts := r.Count()
	for _, class := range classes() {
		grade := "warn"
		if class == ClassPrivate {
			grade = "bad"
		}
		p.Cards = append(p.Cards, htmlCard{Grade: gradeOf(counts[class], grade), Number: number(counts[class]), Label: class.Title(), Link: "#findings"})
	}
	codes := make(map[ReasonTally]int)
	rows := make([]htmlRow, 0, len(r.Faults))
	for _, class := range classes() {
		for _, f := range r.faults(class) {
			codes[ReasonTally{Action: string(f.Class), Reason: policy.Reason(f.Code)}]++
			rows = append(rows, faultRow(f))
		}
	}
	p.Charts = []htmlChart{codesOf(codes)}
	return p.with(rows).print(w)
}

func faultRow(f Fault) htmlRow {
	row := htmlRow{Action: string(f.Class), User: plain.Text(f.User), Path: plain.Text(f.Origin), Reason: policy.Reason(plain.Text(f.Code)), Detail: plain.Text(f.Detail)}
	if !f.Key.IsZero() {
		row.Key, row.Fingerprint = kindOf(f.Key), f.Key.Fingerprint()
	}
	if len(f.Others) > 0 {
		row.Detail += ": " + some(slices.Concat([]string{f.User}, f.Others))
	}
	return row
}

// codesOf draws how often each code stands, the most frequent first.
func codesOf(codes map[ReasonTally]int) htmlChart {
	c := htmlChart{ID: "codes", Title: "Findings by code", Head: "Kind and code", Lead: "What the codes mean is told by docs/registry.md."}
	for t, n := range codes {
		c.Bars = append(c.Bars, htmlBar{Label: t.Action + ": " + plain.Text(string(t.Reason)), Grade: "left", Number: n})
	}
	slices.SortFunc(c.Bars, func(a, b htmlBar) int {
		return cmp.Or(cmp.Compare(b.Number, a.Number), strings.Compare(a.Label, b.Label))
	})
	return c.scaled()
}
