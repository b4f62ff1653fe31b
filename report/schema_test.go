package report_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/policy"
	"github.com/keyreeve/keyreeve/report"
)

// Each JSON document is what its schema says: each field of it stands there, and each field that must be there is.
func TestSchema(t *testing.T) {
	applied := village(t)
	applied.Applied = true
	s := readSchema(t)
	for name, r := range map[string]report.Report{"example": example(t), "village": village(t), "applied": applied, "supposed": later(t), "odd": odd(t), "private keys": hamlet(t), "empty": {}} {
		holds(t, s, name, report.JSON, r)
	}
	s.isWhole(t)
	s = schemaOf(t, "report-registry")
	held := parish(t)
	held.Held = "2 users are gone"
	for name, r := range map[string]report.Registry{"parish": held, "empty": {}} {
		holds(t, s, name, report.RegistryJSON, r)
	}
	s.isWhole(t)
	s = schemaOf(t, "report-fleet")
	mute := `{"version": 1, "host": "mute", "summary": {}, "digest": {}, "accounts": []}`
	for name, f := range map[string]*report.Fleet{"county": fleetOf(t, county(t)...), "mute": fleetOf(t, mute), "empty": report.NewFleet()} {
		holds(t, s, name, report.FleetJSON, f)
	}
	s.isWhole(t)
}

// odd is a report with what seldom is there.
func odd(t *testing.T) report.Report {
	t.Helper()
	line, err := authkeys.ParseValue([]byte(`from="10.0.0.1" ` + lineB))
	if err != nil {
		t.Fatal(err)
	}
	made := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	denial := policy.Denial{Key: line.Key, Origin: "uid=bob", Verdict: policy.Verdict{Reason: policy.ReasonType}}
	bob := planOf(grantsFor(t, "alice"), "bob", first, regular(`from="10.0.0.1" `+lineB+" Warewulf Cluster key\n"))
	return report.Report{
		Held: "2 users are gone", Made: made, Brake: enforcer.BrakeState{Tripped: made, People: []string{"bob"}}, Trips: []string{"bob"},
		WhatIf: &report.WhatIf{File: "other.yaml", Losers: []report.Person{{User: "bob", Keys: []policy.Denial{denial}}}},
		Denied: []report.Denied{{User: "bob", Denial: denial}}, Departed: map[string]time.Time{"bob": made},
		Seen:       map[report.Holding]time.Time{{User: "bob", Key: line.Key}: made},
		Exceptions: []policy.Excepted{{Exception: policy.Exception{ID: "E1", User: "bob", Key: line.Key, Options: line.Options, Since: made, Until: made}}},
		Results:    []enforcer.Result{result(bob)},
	}
}

// The checker finds what is wrong.
func TestSchemaIsChecked(t *testing.T) {
	s := readSchema(t)
	for name, spoil := range map[string]func(map[string]any){
		"version":  func(d map[string]any) { d["version"] = 2.0 },
		"missing":  func(d map[string]any) { delete(d, "digest") },
		"unknown":  func(d map[string]any) { d["new_field"] = 1.0 },
		"type":     func(d map[string]any) { d["policy"] = 1.0 },
		"negative": func(d map[string]any) { d["summary"].(map[string]any)["accounts"] = -1.0 },
		"enum":     func(d map[string]any) { d["accounts"].([]any)[0].(map[string]any)["state"] = "fine" },
		"pattern":  func(d map[string]any) { d["made"] = "yesterday" },
	} {
		d := document(t, village(t))
		spoil(d)
		if wrong := s.check(s.root, d, name); len(wrong) != 1 {
			t.Errorf("%s: %q", name, wrong)
		}
	}
}

// document is a report as programs read it.
func document(t *testing.T, r report.Report) map[string]any {
	t.Helper()
	return printed(t, report.JSON, r)
}

func printed[T any](t *testing.T, write func(io.Writer, T) error, of T) (d map[string]any) {
	t.Helper()
	var out bytes.Buffer
	if err := write(&out, of); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// schema checks documents by the part of JSON Schema 2020-12 that the file uses, and more strictly: a property that is not described is wrong,
// and so is a keyword that is not known here.
type schema struct {
	root map[string]any
	seen map[described]bool // by isWhole
}

// described is a property of a rule that has properties.
type described struct {
	rule uintptr
	name string
}

func describedBy(rule map[string]any, name string) described {
	return described{reflect.ValueOf(rule).Pointer(), name}
}

// readSchema is that of plan.
func readSchema(t *testing.T) schema {
	t.Helper()
	return schemaOf(t, "report")
}

func schemaOf(t *testing.T, name string) schema {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "docs", name+".schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	s := schema{seen: make(map[described]bool)}
	if err := json.Unmarshal(text, &s.root); err != nil {
		t.Fatal(err)
	}
	return s
}

// holds checks a document.
func holds[T any](t *testing.T, s schema, name string, write func(io.Writer, T) error, of T) {
	t.Helper()
	for _, wrong := range s.check(s.root, printed(t, write, of), name) {
		t.Error(wrong)
	}
}

// isWhole says which fields are described and were in none of the documents that were checked: nobody writes them.
func (s schema) isWhole(t *testing.T) {
	t.Helper()
	var walk func(at string, value any)
	walk = func(at string, value any) {
		rule, _ := value.(map[string]any)
		properties, _ := rule["properties"].(map[string]any)
		for name := range properties {
			if !s.seen[describedBy(properties, name)] {
				t.Errorf("%s.%s is described, and in no document", at, name)
			}
		}
		for name, part := range rule {
			walk(at+"/"+name, part)
		}
	}
	walk("", s.root)
}

func (s schema) check(rule map[string]any, value any, at string) (wrong []string) {
	bad := func(format string, args ...any) { wrong = append(wrong, at+": "+fmt.Sprintf(format, args...)) }
	for keyword, want := range rule {
		switch keyword {
		case "$schema", "$id", "$defs", "title", "description", "required", "additionalProperties":
		case "$ref":
			name, _ := want.(string)
			defs, _ := s.root["$defs"].(map[string]any)
			target, found := defs[strings.TrimPrefix(name, "#/$defs/")].(map[string]any)
			if !found {
				bad("no definition %s", name)
			}
			wrong = append(wrong, s.check(target, value, at)...)
		case "const":
			if want != value {
				bad("%v, want %v", value, want)
			}
		case "enum":
			if list, _ := want.([]any); !slices.Contains(list, value) {
				bad("%v is not one of %v", value, want)
			}
		case "pattern":
			pattern, _ := want.(string)
			if text, _ := value.(string); !regexp.MustCompile(pattern).MatchString(text) {
				bad("%q does not match %s", value, pattern)
			}
		case "minimum":
			if n, _ := value.(float64); n < want.(float64) {
				bad("%v is below %v", value, want)
			}
		case "type":
			if got := typeOf(value, want); got != want {
				bad("%s, want %s", got, want)
			}
		case "items":
			list, _ := value.([]any)
			for i, item := range list {
				wrong = append(wrong, s.check(want.(map[string]any), item, fmt.Sprintf("%s[%d]", at, i))...)
			}
		case "properties":
			wrong = append(wrong, s.properties(rule, value, at)...)
		default:
			bad("the keyword %s is not known to the test", keyword)
		}
	}
	return wrong
}

func (s schema) properties(rule map[string]any, value any, at string) (wrong []string) {
	object, _ := value.(map[string]any)
	list := rule["properties"].(map[string]any)
	for name, property := range object {
		one, found := list[name].(map[string]any)
		if !found {
			wrong = append(wrong, at+": "+name+" is not described")
			continue
		}
		s.seen[describedBy(list, name)] = true
		wrong = append(wrong, s.check(one, property, at+"."+name)...)
	}
	required, _ := rule["required"].([]any)
	for _, name := range required {
		if _, found := object[name.(string)]; !found {
			wrong = append(wrong, fmt.Sprintf("%s: %s is missing", at, name))
		}
	}
	return wrong
}

func typeOf(value, want any) string {
	switch v := value.(type) {
	case map[string]any:
		return "object"
	case []any:
		return "array"
	case string:
		return "string"
	case bool:
		return "boolean"
	case float64:
		if want == "integer" && v == math.Trunc(v) {
			return "integer"
		}
		return "number"
	}
	return "null"
}
