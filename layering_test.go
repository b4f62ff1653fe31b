package keyreeve_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/keyreeve/keyreeve/"

// allowed is the import table of docs/DESIGN.md: what each package may import beside the standard library. Files are
// parsed instead of asking "go list", whose answer the test cache would not see change.
var allowed = map[string][]string{
	".":                  {},
	"authkeys":           {},
	"registry":           {"authkeys", "internal/cow"},
	"policy":             {"authkeys", "registry", "internal/cow"},
	"ldapsource":         {"authkeys", "registry", "internal/pasted", "internal/plain", "internal/statefile", "github.com/go-ldap/ldap/v3", "github.com/go-asn1-ber/asn1-ber", "github.com/go-ldap/ldap/v3/gssapi", "github.com/jcmturner/gokrb5/v8/client", "github.com/jcmturner/gokrb5/v8/config", "github.com/jcmturner/gokrb5/v8/crypto", "github.com/jcmturner/gokrb5/v8/gssapi", "github.com/jcmturner/gokrb5/v8/iana/keyusage", "github.com/jcmturner/gokrb5/v8/keytab"},
	"report":             {"authkeys", "registry", "policy", "enforcer", "internal/homes", "internal/plain"},
	"enforcer":           {"authkeys", "registry", "policy", "internal/answer", "internal/homes", "internal/audit", "internal/statefile", "go.uber.org/zap"},
	"internal/homes":     {"golang.org/x/sys/unix"},
	"internal/host":      {"internal/homes", "internal/plain"},
	"internal/watch":     {"github.com/fsnotify/fsnotify", "golang.org/x/sys/unix"},
	"internal/answer":    {},
	"internal/audit":     {"authkeys", "internal/plain", "go.uber.org/zap", "go.uber.org/zap/zapcore"},
	"internal/cow":       {},
	"internal/krl":       {},
	"internal/pasted":    {"authkeys"},
	"internal/plain":     {},
	"internal/statefile": {},
	"internal/config":    {"ldapsource", "policy", "go.yaml.in/yaml/v4"},
	"internal/testenv":   {"golang.org/x/crypto/ssh"},
	"internal/doctor":    {"authkeys", "internal/answer", "internal/config", "internal/homes", "internal/host", "internal/krl", "internal/statefile"},
	"internal/demo":      {},
	"internal/manual":    {"internal/config"},
	"internal/generate":  {"internal/manual"},
	"cmd/keyreeve-keys":  {"authkeys", "policy", "internal/answer", "internal/statefile"},
	"cmd/keyreeve": {
		"authkeys", "policy", "registry", "ldapsource", "enforcer", "report", "internal/config", "internal/watch", "internal/audit",
		"internal/answer", "internal/doctor", "internal/homes", "internal/host", "internal/krl", "internal/pasted", "internal/plain", "internal/statefile", "github.com/spf13/cobra", "github.com/coreos/go-systemd/v22/daemon",
		"go.uber.org/zap", "go.uber.org/zap/zapcore",
	},
}

// sources calls fn for every Go file of the product.
func sources(t *testing.T, fn func(name string, file *ast.File)) {
	t.Helper()
	err := fs.WalkDir(os.DirFS("."), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		fn(name, file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestLayering(t *testing.T) {
	used := make(map[string][]string)
	sources(t, func(name string, file *ast.File) {
		may, ok := allowed[path.Dir(name)]
		if !ok {
			t.Errorf("%s: the package is not in the import table", name)
			return
		}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if first, _, _ := strings.Cut(imported, "/"); !strings.Contains(first, ".") {
				continue // the standard library
			}
			used[path.Dir(name)] = append(used[path.Dir(name)], strings.TrimPrefix(imported, module))
			if imported == module+"internal/testenv" || !slices.Contains(may, strings.TrimPrefix(imported, module)) {
				t.Errorf("%s may not import %s", name, imported)
			}
		}
	})
	unused(t, used)
}

// A row that nothing uses is a wall that nobody looks at.
func unused(t *testing.T, used map[string][]string) {
	t.Helper()
	for pkg, may := range allowed {
		for _, imported := range may {
			if !slices.Contains(used[pkg], imported) {
				t.Errorf("the import table lets %s import %s, and it does not", pkg, imported)
			}
		}
	}
}

// A package that has two package comments has none that a reader can find.
func TestPackageComments(t *testing.T) {
	comments := make(map[string][]string)
	sources(t, func(name string, file *ast.File) {
		dir := path.Dir(name)
		if _, ok := comments[dir]; !ok {
			comments[dir] = nil
		}
		if file.Doc != nil {
			comments[dir] = append(comments[dir], name)
		}
	})
	for dir, files := range comments {
		if len(files) != 1 {
			t.Errorf("%s: package comments in %v, want exactly one", dir, files)
		}
	}
}

func TestModuleStandsAlone(t *testing.T) {
	data, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(strings.TrimSpace(line), "replace") || strings.HasPrefix(line, "tool ") {
			t.Errorf("go.mod: %s", line)
		}
	}
}
