package report_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/report"
)

// golden compares a text with that in testdata; UPDATE_GOLDEN=1 writes it anew.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s: %s", path, diff)
	}
}

func text(tb testing.TB, r report.Report, color bool) string {
	tb.Helper()
	var out bytes.Buffer
	if err := report.Text(&out, r, color); err != nil {
		tb.Fatal(err)
	}
	return out.String()
}

func TestTextOfAVillage(t *testing.T) {
	r := village(t)
	golden(t, "village.txt", text(t, r, false))
	r.Applied = true
	golden(t, "applied.txt", text(t, r, false))
}

// Colours change nothing but the colours.
func TestColors(t *testing.T) {
	for _, r := range []report.Report{village(t), example(t)} {
		plain, colored := text(t, r, false), text(t, r, true)
		sgr := regexp.MustCompile("\x1b\\[[0-9]*m")
		if diff := cmp.Diff(plain, sgr.ReplaceAllString(colored, "")); diff != "" {
			t.Error(diff)
		}
		if on, off := strings.Count(colored, "\x1b[3")+strings.Count(colored, "\x1b[1m"), strings.Count(colored, "\x1b[0m"); on == 0 || on != off {
			t.Errorf("%d colours begin and %d end", on, off)
		}
		for line := range strings.Lines(colored) {
			if strings.Count(line, "\x1b[")%2 != 0 {
				t.Errorf("a colour goes on beyond its line: %q", line)
			}
		}
	}
}

// Lines fit into 80 columns, but for one that is a single word or ends with a path: these are not cut.
func TestTextFits(t *testing.T) {
	r := village(t)
	long := "a-name-as-long-as-names-may-be32"
	grants := grantsFor(t, long)
	r.Source = "ldaps://a-server-with-a-long-name.directory.example.org:636/ou=people,dc=example,dc=org"
	r.Held = strings.Repeat("people lose something ", 9)
	r.Results = append(r.Results,
		result(planOf(grants, long, first, regular("restrict "+lineB+" "+strings.Repeat("é comment ", 30)+"\n"+lineA+"\r\n"))),
		enforcer.Result{Account: homes.Account{Name: long}, Err: errors.New(strings.Repeat("the server does not answer, ", 8))})
	r.Skips = []enforcer.Skip{{User: long, Why: strings.Repeat("it is left alone ", 9)}}
	other := example(t)
	r.Rejects, r.Remarks, r.Shared, r.Exceptions, r.Denied, r.Trips = other.Rejects, other.Remarks, other.Shared, other.Exceptions, other.Denied, []string{long}
	for i := range r.Denied {
		r.Denied[i].User = long
		r.Exceptions[0].User = long
	}
	for _, applied := range []bool{false, true} {
		r.Applied = applied
		for line := range strings.Lines(text(t, r, false)) {
			if line = strings.TrimRight(line, "\n"); len(line) > 80 && !strings.Contains(line, "  /home/") && len(strings.Fields(line)) > 1 {
				t.Errorf("%d columns: %s", len(line), line)
			}
		}
	}
}

// town is a report of many accounts, each with something to say.
func town(tb testing.TB, accounts int) report.Report {
	tb.Helper()
	r := report.Report{Host: "login1", Modes: make(map[string]string)}
	grants := grantsFor(tb, "alice")
	for i := range accounts {
		name := fmt.Sprintf("u%06d", i)
		r.Results = append(r.Results, result(planOf(grants, name, first, regular(lineB+" "+name+"@laptop\n"+lineW+"\n"))))
		r.Modes[name] = "enforce"
		if i%7 == 0 {
			r.Results[i].Err = errors.New("the home does not answer")
		}
		r.Skips = append(r.Skips, enforcer.Skip{User: name, Why: "x"})
	}
	return r
}

// However many accounts there are, the text can be read, begins and ends with the totals, and tells what it leaves out.
func TestTextIsBounded(t *testing.T) {
	r := town(t, 5000)
	r.Results[4999].Plans[0] = planOf(grantsFor(t, "alice"), "u004999", first, regular(strings.Repeat(lineB+"\n", 3000)))
	out := text(t, r, false)
	if n := strings.Count(out, "\n"); n > 1500 {
		t.Errorf("%d lines", n)
	}
	totals := "accounts  5000, to change: 5000, errors: 715, left alone: 5000\n"
	if first, last := strings.Index(out, totals), strings.LastIndex(out, totals); first < 0 || first > 200 || last < len(out)-400 {
		t.Errorf("the totals are at %d and %d of %d", first, last, len(out))
	}
	for _, part := range []string{"people who lose access and have no other granted key: 5000\n", "\n  ... and 4950 more, which --format json has\n", " more accounts, which --format json and csv have\n"} {
		if !strings.Contains(out, part) {
			t.Errorf("no %q", part)
		}
	}
	if strings.Contains(out, "line 41,") || strings.Contains(out, "line 41\n") {
		t.Error("one file fills the report")
	}
}

// A few accounts whose files are full push nobody out of what is shown.
func TestNobodyIsPushedOut(t *testing.T) {
	grants := grantsFor(t, "nobody")
	var r report.Report
	for i := range 8 {
		full := regular(strings.Repeat(lineB+" "+strings.Repeat("a ", 30)+"\n", 50))
		name := fmt.Sprintf("a%d", i)
		var files []enforcer.Plan
		for j := range 1 + i*2 {
			files = append(files, planOf(grants, name, fmt.Sprintf(".ssh/keys.d/%d", j), full))
		}
		r.Results = append(r.Results, result(files...))
	}
	for i := range 20 {
		r.Results = append(r.Results, result(planOf(grants, fmt.Sprintf("victim%d", i), first, regular(lineB+"\n"))))
	}
	out := text(t, r, false)
	rows := words(between(t, printHTML(t, r), `<tbody id="rows">`, "</tbody>"))
	for i := range 20 {
		if name := fmt.Sprintf("victim%d ", i); !strings.Contains(out, "\n"+name) || !strings.Contains(rows, " "+name) {
			t.Errorf("%s is not shown", name)
		}
	}
	if want := "a7  ... and 14 more files, which --format json and csv have\n"; !strings.Contains(out, want) {
		t.Errorf("no %q in\n%s", want, out)
	}
}

// A hundred thousand accounts, all of which lose a key.
func BenchmarkReport(b *testing.B) {
	r := town(b, 100_000)
	for name, form := range map[string]func(io.Writer, report.Report) error{
		"text": func(w io.Writer, r report.Report) error { return report.Text(w, r, false) }, "csv": report.CSV, "json": report.JSON,
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := form(io.Discard, r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// The same of three hosts.
func BenchmarkFleet(b *testing.B) {
	r := town(b, 100_000)
	var reports []string
	for _, host := range []string{"a", "b", "c"} {
		r.Host = host
		var out bytes.Buffer
		if err := report.JSON(&out, r); err != nil {
			b.Fatal(err)
		}
		reports = append(reports, out.String())
	}
	b.ReportMetric(float64(len(reports[0]))/1e6, "MB/report")
	for b.Loop() {
		f := report.NewFleet()
		for _, text := range reports {
			if err := f.Add(strings.NewReader(text)); err != nil {
				b.Fatal(err)
			}
		}
		if err := report.FleetText(io.Discard, f, false); err != nil {
			b.Fatal(err)
		}
	}
}
