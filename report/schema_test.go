package report_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/report"
)

// The JSON report is what docs/report.schema.json says: each field stands there, and each field that must be there is.
func TestSchema(t *testing.T) {
	s := readSchema(t)
	applied := village(t)
	applied.Applied = true
	for name, r := range map[string]report.Report{"example": example(t), "village": village(t), "applied": applied, "hamlet": hamlet(t), "empty": {}} {
		for _, wrong := range s.check(s.root, document(t, r), name) {
			t.Error(wrong)
		}
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

func document(t *testing.T, r report.Report) (d map[string]any) {
	t.Helper()
	var out bytes.Buffer
	if err := report.JSON(&out, r); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// schema checks documents by the part of JSON Schema 2020-12 that the file uses, and more strictly: a property that is not described is wrong,
// and so is a keyword that is not known here.
type schema struct{ root map[string]any }

func readSchema(t *testing.T) schema {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "docs", "report.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	var s schema
	if err := json.Unmarshal(text, &s.root); err != nil {
		t.Fatal(err)
	}
	return s
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
	described := rule["properties"].(map[string]any)
	for name, property := range object {
		one, found := described[name].(map[string]any)
		if !found {
			wrong = append(wrong, at+": "+name+" is not described")
			continue
		}
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
