package report

import (
	"crypto/sha256"
	_ "embed" // the page's parts
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/keyreeve/keyreeve/internal/plain"
)

//go:embed page/page.html
var pageText string

//go:embed page/page.css
var pageStyle string

//go:embed page/page.js
var pageScript string

// Bounds of what stands in a page. A browser lays out some ten thousand rows in a second.
const (
	shownRows = 500 // findings that are there without a script; the others are data that the script shows, so many at once
	sideRows  = 200 // of every other table
)

// htmlPage is what the template prints. html/template keeps foreign text from becoming markup, plain keeps it from turning around what stands beside it.
type htmlPage struct {
	Policy template.HTMLAttr
	Style  template.CSS
	Script template.JS

	Brand, Title, Facts string
	Sums                []htmlSum
	Alerts              []htmlAlert
	Cards               []htmlCard
	Charts              []htmlChart
	First, Sides        []htmlTable // before and after charts and findings
	Sections            []htmlSection
	Filters             []htmlFilter
	Rows                []htmlRow
	Where               string // what the findings' last column is
	Total               int    // of the findings, of which Rows may be a part
	Locked              bool   // some of them are about people with no key left
	Data                [][]any
}

// HTML prints a report as one page for a browser, which needs nothing beside it: no network and no other file. Without a script everything is there to
// read but what is beyond the first findings; the script searches and sorts them. The page's own policy (Content-Security-Policy,
// https://www.w3.org/TR/CSP3/) lets nothing load or run but the style and the script that stand in it, by their hashes.
func HTML(w io.Writer, r Report) error {
	return pageOf(r).print(w)
}

func (p htmlPage) print(w io.Writer) error {
	shape, err := template.New("page").Funcs(template.FuncMap{"number": number}).Parse(pageText)
	if err != nil {
		return err
	}
	return shape.Execute(w, p)
}

// pageOf is the page of a report.
func pageOf(r Report) htmlPage {
	d := r.Digest()
	rows := htmlRows(r, d)
	p := htmlPage{
		Brand: "keyreeve · plan, nothing was changed", Title: "What would change", Where: "File", Facts: factsOf(r, d.Counts.Modes), Sums: sumsOf(r, d.Counts),
		Alerts: alertsOf(r), Cards: cardsOf(r, d, rows), First: slices.Concat(supposedOf(r), []htmlTable{lockoutsOf(r, d), openOf(r, d)}, filled(clusterOf(d))),
		Charts: chartsOf(r, d), Sides: sidesOf(r, d),
	}
	if r.Applied {
		p.Brand, p.Title = "keyreeve", "What was changed"
	}
	if r.WhatIf != nil {
		p.Title = "What if"
	}
	if r.Host != "" {
		p.Title += " on " + plain.Text(r.Host)
	}
	p.First = append(p.First, filled(privateOf(d))...)
	return p.with(rows)
}

// with completes a page with its findings, and what is the same in all pages.
func (p htmlPage) with(rows []htmlRow) htmlPage {
	p.Policy, p.Style, p.Script = contentPolicy(pageStyle, pageScript), template.CSS(pageStyle), template.JS(pageScript) //nolint:gosec // this package's own files
	p.Filters, p.Rows, p.Total = filtersOf(rows), rows[:min(len(rows), shownRows)], len(rows)
	p.Data = make([][]any, 0, len(rows))
	for _, row := range rows {
		p.Data = append(p.Data, row.data())
		p.Locked = p.Locked || row.Locked
	}
	p.Sections = sectionsOf(p)
	return p
}

// factsOf says of what a report is.
func factsOf(r Report, modes map[string]int) string {
	facts := fmt.Sprintf("registry %s: %s users, %s keys · accounts in mode report %s, warn %s, enforce %s", plain.Text(r.Source), number(r.Users), number(r.Keys),
		number(modes["report"]), number(modes["warn"]), number(modes[enforce]))
	if !r.Made.IsZero() {
		facts = minute(r.Made) + " · " + facts
	}
	return facts
}

// htmlSum is one of the totals that stand below the cards.
type htmlSum struct{ Label, Number string }

func sumsOf(r Report, c Counts) []htmlSum {
	changed, removed, rewritten, added := "to change", "to remove", "to rewrite", "to add"
	if r.Applied {
		changed, removed, rewritten, added = "changed", "removed", "rewritten", "added"
	}
	sums := []htmlSum{{"Lines " + removed, number(c.Remove)}, {rewritten, number(c.Rewrite)}, {added, number(c.Add)}}
	if c.Held > 0 {
		sums = append(sums, htmlSum{"held", number(c.Held)})
	}
	return append(sums, htmlSum{"Accounts " + changed, number(c.Pending)}, htmlSum{"looked at", number(c.Accounts)}, htmlSum{"left alone", number(c.Skipped)})
}

// contentPolicy allows one style and one script. It is a whole attribute, since html/template would escape the plus signs of base64 in a value.
func contentPolicy(style, script string) template.HTMLAttr {
	hash := func(text string) string {
		sum := sha256.Sum256([]byte(text))
		return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	policy := fmt.Sprintf("default-src 'none'; base-uri 'none'; form-action 'none'; script-src %s; style-src %s; require-trusted-types-for 'script'",
		hash(script), hash(style))
	return template.HTMLAttr(`content="` + policy + `"`) //nolint:gosec // base64 has no quotation mark
}

// number prints a count with a comma between its thousands.
func number(n int) string {
	text := strconv.Itoa(n)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}

func day(t time.Time) string    { return t.UTC().Format(time.DateOnly) }
func minute(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") + " UTC" }
