package audit_test

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/audit"
)

// docs/audit.md, which is keyreeve-audit(5), tells of every field that a record can have, every action, and every reason.
func TestDocumentIsWhole(t *testing.T) {
	text, err := os.ReadFile("../../docs/audit.md")
	if err != nil {
		t.Fatal(err)
	}
	full := record(t)
	full.Source = "192.0.2.1"
	for field, value := range reflect.ValueOf(full).Fields() {
		if value.IsZero() {
			t.Errorf("the record has no %s", field.Name)
		}
	}
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	log, err := audit.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Write(full); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	var names []string
	for name := range entries(t, path)[0] {
		names = append(names, name)
	}
	fields := len(names)
	names = append(names, constants(t, `audit.go`, `(?m)^\t[A-Z]\w+ += "([a-z-]+)"$`)...)
	actions := len(names)
	names = append(names, constants(t, "../../policy/verdict.go", `Reason +(?:policy\.)?(?:Reason )?= "([a-z-]+)"`)...)
	for _, file := range []string{"plan", "quarantine", "exceptions", "brakefile", "allowance", "accept"} {
		names = append(names, constants(t, "../../enforcer/"+file+".go", `Reason\w+ +(?:policy\.Reason )?= "([a-z-]+)"`)...)
	}
	if fields < 17 || actions < fields+15 || len(names) < actions+40 {
		t.Errorf("%d fields, with actions %d, with reasons %d", fields, actions, len(names))
	}
	for _, name := range names {
		if !strings.Contains(string(text), "`"+name+"`") {
			t.Errorf("docs/audit.md does not tell of %q", name)
		}
	}
}

// constants reads the values of constants out of a file of source.
func constants(t *testing.T, file, pattern string) []string {
	t.Helper()
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(source), -1) {
		list = append(list, m[1])
	}
	return list
}
