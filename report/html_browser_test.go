package report_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/internal/testenv"
	"github.com/keyreeve/keyreeve/report"
)

var (
	pageUsers = flag.Int("page", 0, "accounts of TestHTMLFigures (make page); 0: a few")
	pageShots = flag.String("shots", "", "folder for pictures of the pages of the tests, to be looked at")
)

// show writes a page into a file, and opens it as an administrator does who was sent it.
func show(tb testing.TB, b *testenv.Browser, page string) {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "report.html")
	if err := os.WriteFile(path, []byte(page), 0o600); err != nil {
		tb.Fatal(err)
	}
	b.Open("file://" + path)
}

func eval[T any](tb testing.TB, b *testenv.Browser, script string) (result T) {
	tb.Helper()
	b.Eval("return "+script, &result)
	return result
}

// column reads a column of the findings as they are shown.
func column(tb testing.TB, b *testenv.Browser, n int) []string {
	tb.Helper()
	return eval[[]string](tb, b, `[...document.querySelectorAll("#rows tr")].map((tr) => tr.children[`+strconv.Itoa(n)+`].textContent.trim())`)
}

// await waits until the status line says how many findings there are.
func await(tb testing.TB, b *testenv.Browser, found int) {
	tb.Helper()
	var got string
	want := fmt.Sprintf("%d of %d findings are shown", min(found, 500), found)
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if got = strings.ReplaceAll(eval[string](tb, b, `document.getElementById("status").textContent`), ",", ""); strings.HasPrefix(got, want) {
			return
		}
	}
	tb.Fatalf("the status is %q, not %q", got, want)
}

// matching counts the findings of a page that have a word.
func matching(tb testing.TB, page, word string) (n int) {
	tb.Helper()
	var rows [][]any
	if err := json.Unmarshal([]byte(between(tb, page, `id="data">`, "</script>")), &rows); err != nil {
		tb.Fatal(err)
	}
	for _, row := range rows {
		if strings.Contains(strings.ToLower(fmt.Sprint(row...)), word) {
			n++
		}
	}
	return n
}

// picture keeps a picture of the page where it was asked for.
func picture(tb testing.TB, name string, take func() []byte) {
	tb.Helper()
	if *pageShots == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(*pageShots, name), take(), 0o600); err != nil {
		tb.Fatal(err)
	}
}

func prefer(b *testenv.Browser, scheme string) {
	b.Command("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}})
}

// In a browser the page loads without a word of complaint, runs nothing of what users wrote, and searches, filters and sorts all findings.
func TestHTMLInBrowser(t *testing.T) {
	b := testenv.StartBrowser(t)
	r := city(t, 2400, true)
	other := example(t)
	r.Rejects, r.Remarks, r.Shared, r.Exceptions, r.Denied, r.Skips = other.Rejects, other.Remarks, other.Shared, other.Exceptions, other.Denied, other.Skips
	page := printHTML(t, r)
	show(t, b, page)
	if said := b.Console(); len(said) > 0 {
		t.Errorf("the console says %q", said)
	}
	first := column(t, b, 1)
	// html/template takes data-action for an address and would escape the space.
	if colour := eval[string](t, b, `getComputedStyle(document.querySelector('[data-what="not decided"]')).borderLeftColor`); colour != "rgb(194, 54, 47)" {
		t.Errorf("what is not decided is marked %s", colour)
	}

	t.Run("sort", func(t *testing.T) {
		b.Click(`th[data-column="0"] button`)
		// The rows that the script makes are those that stood in the page.
		if diff := cmp.Diff(first, column(t, b, 1)); diff != "" {
			t.Errorf("the script shows other rows: %s", diff)
		}
		b.Click(`th[data-column="1"] button`)
		up := column(t, b, 1)
		b.Click(`th[data-column="1"] button`)
		down := column(t, b, 1)
		if !slices.IsSorted(up) || len(up) != 500 || slices.Equal(up, first) {
			t.Errorf("sorted by name: %q", up)
		}
		if slices.Reverse(down); !slices.IsSorted(down) || !strings.HasPrefix(down[len(down)-1], "u00239") {
			t.Errorf("sorted by name, from behind: %q", down)
		}
		if sort := eval[[]string](t, b, `[...document.querySelectorAll("[aria-sort]")].map((th) => th.textContent + th.ariaSort)`); !slices.Equal(sort, []string{"Userdescending"}) {
			t.Errorf("it says it is sorted by %q", sort)
		}
	})
	t.Run("search", func(t *testing.T) {
		b.Type("#search", "U000010 Friend")
		await(t, b, 0)
		b.Type("#search", "u000010")
		await(t, b, 1)
		if rows := column(t, b, 3); len(rows) != 1 || !strings.Contains(rows[0], "ssh-ed25519 256 SHA256:") {
			t.Errorf("found %q", rows)
		}
		b.Type("#search", "<SCRIPT>document")
		await(t, b, matching(t, page, "<script>document"))
		if rows := column(t, b, 3); len(rows) == 0 || !strings.Contains(rows[0], `<script>document.title="owned"</script>`) {
			t.Errorf("found %q", rows)
		}
		b.Type("#search", " ")
		await(t, b, matching(t, page, ""))
	})
	t.Run("filter", func(t *testing.T) {
		b.Eval(`const s = document.querySelector('select[data-column="9"]'); s.value = "rsa-too-short"; s.dispatchEvent(new Event("change"))`, nil)
		b.Click("#locked")
		rows := column(t, b, 2)
		if len(rows) != 200 || slices.ContainsFunc(rows, func(row string) bool { return !strings.HasPrefix(row, "rsa-too-short ") }) {
			t.Errorf("%d rows: %q", len(rows), rows)
		}
		b.Click("#locked")
		b.Eval(`const s = document.querySelector('select[data-column="9"]'); s.value = ""; s.dispatchEvent(new Event("change"))`, nil)
	})
	t.Run("more", func(t *testing.T) {
		b.Click("#more")
		if n := len(column(t, b, 1)); n != 1000 {
			t.Errorf("%d rows", n)
		}
	})
	for script, want := range map[string]string{
		`document.title.includes("owned") || !!document.querySelector("#owned, img, iframe, object, embed")`: "false",
		`String(document.scripts.length)`:                         "2",
		`String(performance.getEntriesByType("resource").length)`: "0",
	} {
		if got := eval[string](t, b, "String("+script+")"); got != want {
			t.Errorf("%s is %s", script, got)
		}
	}
	if said := b.Console(); len(said) > 0 {
		t.Errorf("the console says %q", said)
	}
}

// The other pages have their controls too, but for those that would do nothing, and say as little to the console.
func TestHTMLOthersInBrowser(t *testing.T) {
	b := testenv.StartBrowser(t)
	var faults, fleet bytes.Buffer
	if err := errors.Join(report.RegistryHTML(&faults, parish(t)), report.FleetHTML(&fleet, fleetOf(t, county(t)...))); err != nil {
		t.Fatal(err)
	}
	for name, page := range map[string]struct{ text, search string }{"registry.png": {faults.String(), "expiring ANN"}, "fleet.png": {fleet.String(), "Differ login1"}} {
		b.Command("Emulation.setDeviceMetricsOverride", map[string]any{"width": 1280, "height": 2000, "deviceScaleFactor": 1, "mobile": false})
		show(t, b, page.text)
		picture(t, name, b.Screenshot)
		b.Type("#search", page.search)
		await(t, b, 1)
		if said := b.Console(); len(said) > 0 {
			t.Errorf("%s: the console says %q", name, said)
		}
	}
}

// Should ever text become markup, the page's own policy still lets nothing of it run, load, look otherwise or send.
func TestHTMLPolicyInBrowser(t *testing.T) {
	b := testenv.StartBrowser(t)
	evil := `<script>document.title="owned"</script><img src="x.png" onerror="document.title='owned'"><style>h1{display:none}</style>` +
		`<script src="evil.js"></script><a id="evil" href="javascript:document.title='owned'">x</a><form action="https://example.org"><button id="send">x</button></form>`
	page := strings.Replace(printHTML(t, city(t, 100, true)), `<ul class="cards">`, evil+`<ul class="cards">`, 1)
	show(t, b, page)
	b.Click("#evil")
	b.Click("#send")
	if got := eval[string](t, b, `document.title + getComputedStyle(document.querySelector("h1")).display + location.protocol`); strings.Contains(got, "owned") || !strings.HasSuffix(got, "blockfile:") {
		t.Errorf("the page is %q", got)
	}
	if said := strings.Join(b.Console(), "\n"); strings.Count(said, "Content Security Policy") < 6 {
		t.Errorf("the policy has let something through:\n%s", said)
	}
}

// Without scripts nothing is there that does not work, and all that presses can be read; so it is on paper.
func TestHTMLWithoutScripts(t *testing.T) {
	b := testenv.StartBrowser(t)
	b.Command("Emulation.setScriptExecutionDisabled", map[string]bool{"value": true})
	page := printHTML(t, city(t, 2400, true))
	show(t, b, page)
	const seen = `[...document.querySelectorAll("#controls, #more, thead button")].filter((e) => e.offsetParent).length + "/" + document.querySelectorAll("#rows tr").length`
	if got := eval[string](t, b, seen); got != "0/500" {
		t.Errorf("controls and rows: %s", got)
	}
	b.Command("Emulation.setScriptExecutionDisabled", map[string]bool{"value": false})
	show(t, b, page)
	if got := eval[string](t, b, seen); got != "7/500" {
		t.Errorf("controls and rows with scripts: %s", got)
	}
	b.Command("Emulation.setEmulatedMedia", map[string]any{"media": "print"})
	if got := eval[string](t, b, `[...document.querySelectorAll("#controls, #more")].filter((e) => e.offsetParent).length + "/" + document.querySelectorAll("#rows tr").length`); got != "0/500" {
		t.Errorf("controls and rows on paper: %s", got)
	}
	show(t, b, printHTML(t, city(t, 200, false))) // chromedriver gives a page ten seconds to be printed, however busy the machine is
	pdf := b.PDF()
	picture(t, "print.pdf", func() []byte { return pdf })
	if !strings.HasPrefix(string(pdf), "%PDF-") {
		t.Errorf("no PDF: %q", pdf[:min(len(pdf), 20)])
	}
}

// The page follows the system's colours, and fits a telephone: what is wide scrolls by itself.
func TestHTMLLooks(t *testing.T) {
	b := testenv.StartBrowser(t)
	show(t, b, printHTML(t, city(t, 300, true)))
	grounds := make(map[string]bool)
	for _, scheme := range []string{"light", "dark"} {
		prefer(b, scheme)
		grounds[eval[string](t, b, `getComputedStyle(document.body).backgroundColor`)] = true
	}
	if len(grounds) != 2 {
		t.Errorf("light and dark are %v", grounds)
	}
	for _, width := range []int{320, 768, 1600} { // 320 is the width of WCAG 2.2, 1.4.10 (reflow)
		b.Command("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": 2000, "deviceScaleFactor": 1, "mobile": false})
		for _, scheme := range []string{"dark", "light"} {
			prefer(b, scheme)
			picture(t, fmt.Sprintf("%d-%s.png", width, scheme), b.Screenshot)
		}
		if wide := eval[int](t, b, `document.documentElement.scrollWidth`); wide > width {
			t.Errorf("in %d pixels the page is %d wide", width, wide)
		}
	}
	if levels := eval[[]string](t, b, `[...document.querySelectorAll("h1, h2, h3")].map((h) => h.tagName)`); levels[0] != "H1" || slices.Contains(levels[1:], "H1") {
		t.Errorf("headings: %q", levels)
	}
	const unnamed = `[...document.querySelectorAll("th:not([scope]), input, select, button, section, [role=region]")].filter((e) => e.matches("th") ||
		!(e.labels?.length || e.textContent.trim() && e.matches("button") || document.getElementById(e.getAttribute("aria-labelledby")))).map((e) => e.outerHTML.slice(0, 80))`
	if got := eval[[]string](t, b, unnamed); len(got) > 0 {
		t.Errorf("nothing tells what these are: %q", got)
	}
}

// TestHTMLFigures prints how large the page of many accounts is, how long it takes to make, and how soon a browser shows it: of accounts as they
// may be in a centre, and of as many that are all out of line.
func TestHTMLFigures(t *testing.T) {
	users := max(*pageUsers, 200)
	b := testenv.StartBrowser(t)
	for name, wild := range map[string]bool{"some out of line": false, "all out of line": true} {
		r := city(t, users, wild)
		began := time.Now()
		page := printHTML(t, r)
		took := time.Since(began)
		findings := between(t, page, `data-total="`, `"`)
		for range 3 {
			show(t, b, page)
			t.Logf("%d accounts, %s, %s findings: %.1f MB, made in %v; first paint after %d ms, loaded after %d ms",
				users, name, findings, float64(len(page))/1e6, took.Round(time.Millisecond),
				eval[int](t, b, `Math.round(performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? -1)`), eval[int](t, b, `Math.round(performance.getEntriesByType("navigation")[0].loadEventEnd)`))
		}
		began = time.Now()
		b.Click(`th[data-column="1"] button`)
		t.Logf("  first sort, which reads all findings: %v", time.Since(began).Round(time.Millisecond))
		began = time.Now()
		b.Type("#search", "u0000")
		await(t, b, matching(t, page, "u0000"))
		t.Logf("  search: %v", time.Since(began).Round(time.Millisecond))
		show(t, b, "<!DOCTYPE html>")
	}
}
