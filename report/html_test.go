package report_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/report"
)

func printHTML(tb testing.TB, r report.Report) string {
	tb.Helper()
	var out bytes.Buffer
	if err := report.HTML(&out, r); err != nil {
		tb.Fatal(err)
	}
	return out.String()
}

// between gives what stands between two texts.
func between(tb testing.TB, text, from, to string) string {
	tb.Helper()
	_, rest, found := strings.Cut(text, from)
	part, _, ended := strings.Cut(rest, to)
	if !found || !ended {
		tb.Fatalf("nothing stands between %q and %q", from, to)
	}
	return part
}

// words is the text of a piece of a page, its tags taken out.
func words(page string) string {
	text := regexp.MustCompile(`<[^>]*>`).ReplaceAllString(page, " ")
	return strings.Join(strings.Fields(html.UnescapeString(text)), " ")
}

// What matters is said first, in numbers that are those of the digest.
func TestHTML(t *testing.T) {
	r := village(t)
	r.Trips = []string{"alice", "b\u202eob"}
	r.Rejects, r.Exceptions, r.Skips, r.Shared = example(t).Rejects, example(t).Exceptions, example(t).Skips, example(t).Shared
	page, d := printHTML(t, r), r.Digest()
	top := words(between(t, page, "<main>", `id="keys"`))
	for _, want := range []string{
		"This would trip the brake. These people and others would lose a registered key at once: alice b\\u202eob",
		fmt.Sprintf("%d people lose access %d of them have no other granted key", len(d.Lockouts), d.Shut()),
		"unregistered keys log in today in the files of",
		fmt.Sprintf("%d things are not resolved", len(d.Open)+d.Counts.Unkept),
		fmt.Sprintf("accounts are in line of %d; they are counted, not listed", d.Counts.Accounts),
	} {
		if !strings.Contains(top, want) {
			t.Errorf("the page does not begin with %q:\n%s", want, top)
		}
	}
	for i, l := range d.Lockouts {
		if row := fmt.Sprintf(`<th scope="row">%s</th>`, l.User); !strings.Contains(between(t, page, `id="lockouts"`, "</section>"), row) {
			t.Errorf("lockout %d, %s, is not listed", i, l.User)
		}
	}
	for _, f := range d.Open {
		if !strings.Contains(words(between(t, page, `id="open"`, "</section>")), f.Detail) {
			t.Errorf("%v is not listed", f)
		}
	}
	for _, id := range []string{"rejects", "exceptions", "skips", "shared", "cluster", "modes"} {
		between(t, page, `<section class="side" id="`+id+`"`, "</section>")
	}
	for _, link := range regexp.MustCompile(`href="#([a-z]+)"`).FindAllStringSubmatch(page, -1) {
		if strings.Count(page, ` id="`+link[1]+`"`) != 1 {
			t.Errorf("the link %s leads nowhere", link[0])
		}
	}
}

// The faults of a registry make such a page too.
func TestHTMLRegistry(t *testing.T) {
	r := parish(t)
	r.Held, r.Host = "<b id=owned>", "<b id=owned>"
	var out bytes.Buffer
	if err := report.RegistryHTML(&out, r); err != nil {
		t.Fatal(err)
	}
	page := out.String()
	findings := words(between(t, page, `<tbody id="rows">`, "</tbody>"))
	at := -1
	for _, f := range r.Faults {
		next := strings.Index(findings, string(f.Class)+" "+f.User+" "+f.Code)
		if next <= at {
			t.Errorf("%s of %s is missing or not in its place:\n%s", f.Code, f.User, findings)
		}
		at = next
	}
	for class, n := range r.Count() {
		if want := fmt.Sprintf("%d %s", n, class.Title()); !strings.Contains(words(between(t, page, `class="cards"`, "</ul>")), want) {
			t.Errorf("no card says %q", want)
		}
	}
	if strings.Contains(page, "<b id") || strings.Contains(page, "\x1b") || strings.Contains(page, `id="locked"`) {
		t.Error("foreign text is markup, or a control does nothing")
	}
}

// So do the reports of many hosts, in which a key counts once and says where it goes and where it stays.
func TestHTMLFleet(t *testing.T) {
	f := fleetOf(t, county(t)...)
	c := f.Count()
	var out bytes.Buffer
	if err := report.FleetHTML(&out, f); err != nil {
		t.Fatal(err)
	}
	page := out.String()
	top := words(between(t, page, "<main>", `id="keys"`))
	for _, want := range []string{
		"The hosts differ in their registry: login1.example.org, node: login2: ldaps://two", fmt.Sprintf("%d people lose access on some host", c.Lockouts), fmt.Sprintf("%d keys go of %d", c.Go, c.Keys),
		fmt.Sprintf("%d keys go on one host and stay on another", c.Split), fmt.Sprintf("%d things are not resolved", c.Open), fmt.Sprintf("People with a key: %d", c.People),
	} {
		if !strings.Contains(top, want) {
			t.Errorf("the page does not begin with %q:\n%s", want, top)
		}
	}
	findings := words(between(t, page, `<tbody id="rows">`, "</tbody>"))
	for _, k := range f.Keys() {
		if shown := strings.Contains(findings, k.Fingerprint); !shown && k.Worst() != report.FateStay {
			t.Errorf("%s of %s, %s, is not shown:\n%s", k.Fingerprint, k.User, k.Worst(), findings)
		}
	}
	if want := "the hosts differ: "; strings.Count(findings, want) != c.Split {
		t.Errorf("%q does not stand there %d times:\n%s", want, c.Split, findings)
	}
	for _, id := range []string{"lockouts", "open", "hosts"} {
		if text := words(between(t, page, `<section class="side" id="`+id+`"`, "</section>")); !strings.Contains(text, "login2") {
			t.Errorf("%s: %s", id, text)
		}
	}
}

// Every bar has its number beside it: a chart is a table to who does not see it.
func TestHTMLCharts(t *testing.T) {
	r := city(t, 600, false)
	page, d := printHTML(t, r), r.Digest()
	keys := words(between(t, page, `id="keys-title"`, "</section>"))
	for _, k := range d.Keys {
		if want := fmt.Sprintf("%s %d %d %d", k.Type, k.Bits, k.Lines(), k.Stay+k.Left+k.New); !strings.Contains(keys, want) {
			t.Errorf("keys lack %q:\n%s", want, keys)
		}
	}
	reasons := words(between(t, page, `id="reasons-title"`, "</section>"))
	for _, reason := range d.Reasons {
		if want := fmt.Sprintf("%s: %s %d", reason.Action, reason.Reason, reason.Number); !strings.Contains(reasons, want) {
			t.Errorf("reasons lack %q:\n%s", want, reasons)
		}
	}
	ages := words(between(t, page, `id="ages-title"`, "</section>"))
	for _, a := range d.Ages {
		if want := fmt.Sprintf("%s %d %d", a.Title(), a.Lines(), a.Stay+a.Left+a.New); !strings.Contains(ages, want) {
			t.Errorf("ages lack %q:\n%s", want, ages)
		}
	}
	if states := words(between(t, page, `id="homes-title"`, "</section>")); !strings.Contains(states, "not looked at, in whole or in part 2 2 with a file that is not decided 6 6 with a change 60 0 ") {
		t.Errorf("homes: %s", states)
	}
	for _, part := range regexp.MustCompile(`<rect [^>]*x="([0-9.]+)" width="([0-9.]+)"`).FindAllStringSubmatch(page, -1) {
		x, _ := strconv.ParseFloat(part[1], 64)
		width, _ := strconv.ParseFloat(part[2], 64)
		if width <= 0 || x+width > 103 { // parts of less than 0.6 % are drawn as that
			t.Errorf("a bar is %s", part[0])
		}
	}
}

// The page runs and loads nothing but its own style and script.
func TestHTMLPolicy(t *testing.T) {
	page := printHTML(t, city(t, 300, true))
	content := html.UnescapeString(between(t, page, `<meta http-equiv="Content-Security-Policy" content="`, `"`))
	hash := func(text string) string {
		sum := sha256.Sum256([]byte(text))
		return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	want := "default-src 'none'; base-uri 'none'; form-action 'none'; script-src " + hash(between(t, page, "<script>", "</script>")) +
		"; style-src " + hash(between(t, page, "<style>", "</style>")) + "; require-trusted-types-for 'script'"
	if content != want {
		t.Errorf("the policy is\n%s\nwant\n%s", content, want)
	}
	if n := strings.Count(page, "<script"); n != 2 {
		t.Errorf("%d scripts", n)
	}
	if strings.Index(page, "http-equiv") > strings.Index(page, "<style") {
		t.Error("the policy stands behind what it is to judge")
	}
	tags := regexp.MustCompile(`<[a-z][^>]*>`).FindAllString(page[:strings.Index(page, `<script type="application/json"`)], -1)
	for _, tag := range tags {
		if regexp.MustCompile(`\s(on[a-z]+|style|src|action|xlink:href)=|href="[^#]`).MatchString(tag) {
			t.Errorf("%s", tag)
		}
	}
}

// What a user writes is text in the page and in its data, and printable ASCII.
func TestHTMLHostile(t *testing.T) {
	page := printHTML(t, city(t, 3000, true))
	for _, bad := range append(slices.Clone(hostile[:6]), "\u202e", "\x1b", "\u009b", "\u2028", "u003cscript>document") {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	data := between(t, page, `<script type="application/json" id="data">`, "</script>")
	if i := strings.IndexFunc(data, func(r rune) bool { return r < ' ' || r > '~' }); i >= 0 {
		t.Errorf("the data has %q", data[i:i+8])
	}
	var rows [][]any
	if err := json.Unmarshal([]byte(data), &rows); err != nil {
		t.Fatal(err)
	}
	found := make(map[any]bool)
	for _, row := range rows {
		found[row[8]] = true
	}
	for _, want := range []string{hostile[0], hostile[1], `\\u003cscript>`, "gro.live", "[2J 1m", `\u05d0\u05d1 caf\u00e9`} { // authkeys takes out what is not printable
		if !found[want] {
			t.Errorf("no comment is %s", want)
		}
	}
}

// Names and reasons of everything that is not a comment are no markup either.
func TestHTMLHostileEverywhere(t *testing.T) {
	r := example(t)
	evil := `<b id=owned>` + "\u202e"
	r.Source, r.Host, r.Held, r.Trips = evil, evil, evil, []string{evil}
	r.Skips = []enforcer.Skip{{User: evil, Why: evil}}
	r.Rejects[0].User, r.Rejects[0].Origin, r.Rejects[0].Detail = evil, evil, evil
	r.Shared[0].Users = []string{evil, evil}
	r.Exceptions[0].User, r.Exceptions[0].Owner, r.Exceptions[0].Reason, r.Exceptions[0].Copy = evil, evil, evil, evil
	for i := range r.Results {
		r.Results[i].Account.Name, r.Results[i].Account.Home = evil, "/home/"+evil
		for j := range r.Results[i].Plans {
			r.Results[i].Plans[j].Account = r.Results[i].Account
			r.Results[i].Plans[j].Remark = evil
		}
		for j := range r.Results[i].Unkept {
			r.Results[i].Unkept[j] = homes.Unkept{Path: evil, Why: evil}
		}
	}
	r.Modes = map[string]string{evil: "enforce"}
	if page := printHTML(t, r); strings.Contains(page, "<b id") || strings.Contains(page, "\u202e") {
		t.Error("foreign text is markup")
	}
}

// Accounts that are in line cost a page nothing, and those that are not cost it no rows beyond its bounds.
func TestHTMLBounds(t *testing.T) {
	few, many := city(t, 100, false), city(t, 100, false)
	grants := grantsFor(t, "clean")
	for range 5000 {
		many.Results = append(many.Results, result(planOf(grants, "clean", first, regular(lineA+"\n"))))
	}
	if a, b := printHTML(t, few), printHTML(t, many); len(b) > len(a)+200 || strings.Contains(b, "clean<") {
		t.Errorf("5,000 accounts in line take %d bytes", len(b)-len(a))
	}
	wild := city(t, 6000, true)
	page, lost := printHTML(t, wild), len(wild.Digest().Lockouts)
	var data [][]any
	if err := json.Unmarshal([]byte(between(t, page, `id="data">`, "</script>")), &data); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(between(t, page, `<tbody id="rows">`, "</tbody>"), "<tr>"); n != 500 || len(data) < 5000 {
		t.Errorf("%d rows, %d in the data", n, len(data))
	}
	lockouts := between(t, page, `id="lockouts"`, "</section>")
	if n := strings.Count(lockouts, `<th scope="row">`); n != 200 || !strings.Contains(lockouts, fmt.Sprintf("and %d more, which", lost-200)) {
		t.Errorf("%d of the people who lose access, and: %s", n, words(lockouts[len(lockouts)-200:]))
	}
}

func BenchmarkHTML(b *testing.B) {
	r := city(b, 100_000, true)
	for b.Loop() {
		printHTML(b, r)
	}
}
