package report

import (
	"crypto/sha256"
	_ "embed" // the page's parts
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
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

	Report
	Host, Source string
	Counts       Counts
	Alerts       []htmlAlert
	Cards        []htmlCard
	Charts       []htmlChart
	First, Sides []htmlTable // before and after charts and findings
	Sections     []htmlSection
	Filters      []htmlFilter
	Rows         []htmlRow
	Total        int // of the findings, of which Rows may be a part
	Data         [][]any
}

// HTML prints a report as one page for a browser, which needs nothing beside it: no network and no other file. Without a script everything is there to
// read but what is beyond the first findings; the script searches and sorts them. The page's own policy (Content-Security-Policy,
// https://www.w3.org/TR/CSP3/) lets nothing load or run but the style and the script that stand in it, by their hashes.
func HTML(w io.Writer, r Report) error {
	shape, err := template.New("page").Funcs(template.FuncMap{"number": number, "day": day, "minute": minute}).Parse(pageText)
	if err != nil {
		return err
	}
	return shape.Execute(w, pageOf(r))
}

func pageOf(r Report) htmlPage {
	d := r.Digest()
	rows := htmlRows(r, d)
	p := htmlPage{
		Policy: contentPolicy(pageStyle, pageScript), Style: template.CSS(pageStyle), Script: template.JS(pageScript), //nolint:gosec // this package's own files
		Report: r, Host: plain.Text(r.Host), Source: plain.Text(r.Source), Counts: d.Counts, Alerts: alertsOf(r), Cards: cardsOf(r, d, rows),
		First: append([]htmlTable{lockoutsOf(r, d), openOf(r, d)}, filled(clusterOf(d))...), Charts: chartsOf(r, d), Sides: sidesOf(r, d),
		Filters: filtersOf(rows), Rows: rows[:min(len(rows), shownRows)], Total: len(rows), Data: make([][]any, 0, len(rows)),
	}
	for _, row := range rows {
		p.Data = append(p.Data, row.data())
	}
	p.Sections = sectionsOf(p)
	return p
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
