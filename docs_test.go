package keyreeve_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A defence whose test is gone is a claim: every test that docs/threat-model.md names stands in the package that it names.
func TestThreatModelNamesTests(t *testing.T) {
	packages := map[string]string{
		"B": "packaging",
		"H": "internal/homes", "W": "internal/watch", "E": "enforcer", "A": "authkeys", "L": "ldapsource", "G": "registry", "N": "internal/host",
		"S": "internal/statefile", "C": "cmd/keyreeve", "U": "internal/audit", "R": "report", "P": "policy", "D": "internal/doctor", "K": "cmd/keyreeve-keys", "V": "internal/krl", "I": "internal/pasted", "Y": "systemd",
	}
	doc, err := os.ReadFile("docs/threat-model.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`\b([A-Z]) ((?:Test|Fuzz)\w+)`).FindAllStringSubmatch(string(doc), -1)
	if len(named) < 50 {
		t.Fatalf("the document names %d tests", len(named))
	}
	for _, match := range named {
		if !hasTest(t, packages[match[1]], match[2]) {
			t.Errorf("%s has no %s", packages[match[1]], match[2])
		}
	}
}

func hasTest(t *testing.T, dir, name string) bool {
	t.Helper()
	files, err := fs.Glob(os.DirFS(dir), "*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "func "+name+"(") {
			return true
		}
	}
	return false
}
