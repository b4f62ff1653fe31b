package report_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/policy"
	"github.com/keyreeve/keyreeve/registry"
	"github.com/keyreeve/keyreeve/report"
)

// parish is a registry with one of each fault.
func parish(t *testing.T) report.Registry {
	t.Helper()
	now := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	a, b := key(t, lineA), key(t, lineB)
	certify, err := authkeys.ParseValue([]byte("cert-authority " + lineB))
	if err != nil {
		t.Fatal(err)
	}
	users := []registry.User{
		{Name: "ann", Records: []registry.Record{{Key: a, Origin: "uid=ann", NotAfter: now.Add(time.Hour)}}, Remarks: []registry.Reject{{Origin: "uid=ann", Code: "crlf", Detail: "=a CR"}}},
		{Name: "ben", Records: []registry.Record{{Key: a, Origin: "uid=ben", NotAfter: now.Add(report.Soon)}}}, // not that soon
		{Name: "ca", Records: []registry.Record{{Key: b, Origin: "uid=ca", Options: certify.Options}}},
		{Name: "dan", Records: []registry.Record{{Key: b, Origin: "uid=dan"}}, Until: now.AddDate(0, 0, 3), Rejects: []registry.Reject{{Origin: "uid=dan", Code: "private-key", Detail: "x"}}},
		{Name: "eve", Status: registry.Elsewhere, Records: []registry.Record{{Key: b, Origin: "uid=eve"}}},
		{Name: "fay", Records: []registry.Record{{Key: b, Origin: "uid=fay", NotAfter: now}}, Rejects: []registry.Reject{{Origin: "uid=fay\x1b", Code: "options", Detail: "the option \x1b"}}},
	}
	snapshot, err := registry.New(users, "ldaps://one")
	if err != nil {
		t.Fatal(err)
	}
	rules, err := policy.Compile(policy.DefaultRules())
	if err != nil {
		t.Fatal(err)
	}
	return report.Registry{
		Host: "login1", Source: snapshot.Source(), Policy: rules.String(), Made: now, Users: snapshot.Len(), Keys: snapshot.Keys(),
		Faults: report.Faults(snapshot, rules.Evaluate(snapshot, now), now),
	}
}

func TestRegistry(t *testing.T) {
	r := parish(t)
	var got []string
	for _, f := range r.Faults {
		got = append(got, fmt.Sprint(f.Class, " ", f.User, " ", f.Code))
	}
	want := []string{
		"private-key dan private-key", "refused ca cert-authority", "refused fay expired", "unusable fay options", "shared ann shared", "shared ca shared",
		"expiring ann expiring", "expiring dan expiring", "remark ann crlf",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	var text, table, object bytes.Buffer
	for _, err := range []error{report.RegistryText(&text, r, false), report.RegistryCSV(&table, r), report.RegistryJSON(&object, r)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	onlyASCII(t, text.String()+object.String()+strings.ReplaceAll(table.String(), "\r\n", "\n"))
	golden(t, "registry.txt", text.String())
	rows, err := csv.NewReader(&table).ReadAll()
	if err != nil || len(rows) != len(want)+1 || rows[9][9] != "'=a CR" {
		t.Errorf("%v, %q", err, rows)
	}
	var d struct {
		Version int            `json:"version"`
		Summary map[string]int `json:"summary"`
		Faults  []struct {
			User string `json:"user"`
		} `json:"faults"`
	}
	if err := json.Unmarshal(object.Bytes(), &d); err != nil || d.Version != 1 || d.Summary["shared"] != 2 || len(d.Faults) != len(want) {
		t.Errorf("%v: %+v", err, d)
	}
}

// Who has a thousand faults pushes nobody's out of what is shown.
func TestRegistryPushesNobodyOut(t *testing.T) {
	r, other := report.Registry{}, example(t)
	other.Rejects = nil
	for _, class := range []report.Class{report.ClassPrivate, report.ClassUnusable} {
		for i := range 1000 {
			name := "all"
			if i >= 980 {
				name = fmt.Sprintf("user%d", i)
			}
			r.Faults = append(r.Faults, report.Fault{Class: class, User: name, Code: "private-key", Origin: "uid=x", Detail: "x"})
			other.Rejects = append(other.Rejects, report.Reject{User: name, Reject: registry.Reject{Code: "unparsable", Origin: "uid=x"}})
		}
	}
	var text, page, homes bytes.Buffer
	if err := errors.Join(report.RegistryText(&text, r, false), report.RegistryHTML(&page, r), report.Text(&homes, other, false)); err != nil {
		t.Fatal(err)
	}
	rejects := words(between(t, printHTML(t, other), `id="rejects"`, "</section>"))
	for i := 980; i < 1000; i++ {
		name := fmt.Sprintf("user%d ", i)
		if n := strings.Count(text.String(), "\n  "+name); n != 2 {
			t.Errorf("%d rows of %s in the text", n, name)
		}
		if !strings.Contains(words(between(t, page.String(), `<tbody id="rows">`, "</tbody>")), " "+name) || !strings.Contains(homes.String(), "\n  "+name) || !strings.Contains(rejects, " "+name) {
			t.Errorf("%s is not shown", name)
		}
	}
}
