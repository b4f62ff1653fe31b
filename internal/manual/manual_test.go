package manual_test

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/internal/config"
	"github.com/keyreeve/keyreeve/internal/manual"
)

const example = `# All of it.
#
#     keyreeve config check

# Which one:
# one     the first
# two     the second
mode: report
#groups: [{group: a, mode: warn}]

registry:
  source: ldif
  # Where it is.
  ldif: {path: /etc/registry.ldif}
policy:
  keys:
    - {type: ed25519}
    # One more.
    - {type: sk-ed25519}
  warn: 90d                # how long before
`

func TestConfig(t *testing.T) {
	got, err := manual.Config("k.yaml", []byte(example))
	if err != nil {
		t.Fatal(err)
	}
	const want = "\nAll of it.\n\n    keyreeve config check\n" +
		"\n## `mode`\n\nDefault: `report`\n\nWhich one:\n\n* `one`: the first\n* `two`: the second\n" +
		"\n## `groups`\n\nExample: `[{group: a, mode: warn}]`\n\nSee `mode`.\n" +
		"\n## `registry`\n" +
		"\n### `registry.source`\n\nExample: `ldif`\n" +
		"\n### `registry.ldif`\n\nExample: `{path: /etc/registry.ldif}`\n\nWhere it is.\n" +
		"\n## `policy`\n" +
		"\n### `policy.keys`\n\nExample:\n\n    - {type: ed25519}\n    # One more.\n    - {type: sk-ed25519}\n" +
		"\n### `policy.warn`\n\nDefault: `90d`\n\nhow long before\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := manual.Config("k.yaml", []byte(example+"brake: {peple: 1}\n")); err == nil {
		t.Error("an example that is no configuration makes a reference")
	}
}

// headings are the parts of the reference, by the key that each is of.
func headings(text string) map[string]string {
	parts := make(map[string]string)
	for _, part := range regexp.MustCompile("(?m)^##").Split(text, -1)[1:] {
		heading, body, _ := strings.Cut(part, "\n")
		parts[strings.Trim(heading, "#` ")] = strings.TrimSpace(body)
	}
	return parts
}

// Every key that the configuration has is told of: under its own name, or, as those of a list's entries, in what is shown of the key above it.
func TestReferenceIsWhole(t *testing.T) {
	const path = "../../configs/keyreeve.yaml"
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text, err := manual.Config(path, data)
	if err != nil {
		t.Fatal(err)
	}
	if doc, err := os.ReadFile("../../docs/config.md"); err != nil || !strings.HasSuffix(string(doc), "change that one. -->\n"+text) {
		t.Errorf("docs/config.md is not that of configs/keyreeve.yaml (%v): run \"make docs\"", err)
	}
	parts, seen := headings(text), 0
	var walk func(t reflect.Type, above string)
	walk = func(structure reflect.Type, above string) {
		for field := range structure.Fields() {
			key := field.Tag.Get("yaml")
			if key == "" || key == "-" {
				continue
			}
			seen++
			if !told(parts, above+key) {
				t.Errorf("nothing is told of %s", above+key)
			}
			below := field.Type
			for below.Kind() == reflect.Slice {
				below = below.Elem()
			}
			if below.Kind() == reflect.Struct && below.PkgPath() != "time" {
				walk(below, above+key+".")
			}
		}
	}
	walk(reflect.TypeFor[config.Config](), "")
	if seen < 80 {
		t.Errorf("the configuration has %d keys", seen)
	}
}

func told(parts map[string]string, key string) bool {
	// The attributes of a file are shown once, with those of a directory.
	key = strings.Replace(key, "registry.ldif.attributes.", "registry.ldap.attributes.", 1)
	if body, ok := parts[key]; ok {
		return strings.Contains(body, "\n\n") || hasBelow(parts, key)
	}
	at := strings.LastIndexByte(key, '.')
	if at < 0 {
		return false
	}
	for above := key[:at]; ; above = above[:strings.LastIndexByte(above, '.')] {
		if body, ok := parts[above]; ok {
			return strings.Contains(body, key[at+1:]+":") || hasBelow(parts, key)
		}
		if !strings.Contains(above, ".") {
			return hasBelow(parts, key)
		}
	}
}

// hasBelow reports whether keys below this one are told of.
func hasBelow(parts map[string]string, key string) bool {
	for known := range parts {
		if strings.HasPrefix(known, key+".") {
			return true
		}
	}
	return false
}

func TestCommands(t *testing.T) {
	says := map[string]string{
		"--help":    "The program\n\nUsage:\n  p [command]\n\nAvailable Commands:\n  do          Do it\n  help        Help\n\nFlags:\n  -h, --help   help for p\n",
		"do --help": "Do things\n\nUsage:\n  p do [command]\n\nAvailable Commands:\n  it          It\n  completion  Complete\n\nUse \"p do [command] --help\" for more.\n",
		"do it --help": "Do it now.\n\nExit status: 0.\n\nUsage:\n  p do it FILE [flags]\n\nFlags:\n  -h, --help       help for it\n" +
			"  -o, --out file   where to   (default \"x\")\n\nGlobal Flags:\n      --config file   a file\n",
	}
	got, err := manual.Commands("p", func(args ...string) (string, error) {
		text, ok := says[strings.Join(args, " ")]
		if !ok {
			t.Errorf("asked %v", args)
		}
		return text, nil
	})
	const want = "\n### p do it FILE\n\nDo it now.\n\nExit status: 0.\n\n| option | what |\n|---|---|\n| `-o, --out file` | where to   (default \"x\") |\n"
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
	if _, err := manual.Commands("p", func(...string) (string, error) { return "", os.ErrNotExist }); err == nil {
		t.Error("a program that says nothing has commands")
	}
}

func TestRoff(t *testing.T) {
	page := manual.Page{Name: "k", Section: "5", Purpose: "a thing", Date: "2026-02-03", Version: "1.2"}
	const head = ".TH K 5 \"2026-02-03\" \"keyreeve 1.2\" \"File Formats Manual\"\n.SH NAME\nk \\- a thing\n"
	for name, c := range map[string]struct{ markdown, want string }{
		"text":      {"# Title\n\nOne\ntwo.\n\nThree.\n", ".SH DESCRIPTION\nOne two.\n.PP\nThree.\n"},
		"headings":  {"## All of it\n\na\n\n### `a.b`\n\nb\n\n## `mode`\n", ".SH \"ALL OF IT\"\na\n.SS \"a.b\"\nb\n.SH \"mode\"\n"},
		"requests":  {"## A\n\n.TH is a request, and so is\n\n'tis\n", ".SH \"A\"\n\\&.TH is a request, and so is\n.PP\n\\(aqtis\n"},
		"types":     {"## A\n\n`a-b` **b** *c* [d](e.md) 2 * 3\n", ".SH \"A\"\n\\fBa\\-b\\fR \\fBb\\fR \\fIc\\fR d 2 * 3\n"},
		"backslash": {"## A\n\n`\\n` \\fB\n", ".SH \"A\"\n\\fB\\en\\fR \\efB\n"},
		"code":      {"## A\n\nx\n\n    .a\n\n      b\n\ny\n", ".SH \"A\"\nx\n.PP\n.RS 4\n.nf\n\\&.a\n\n  b\n.fi\n.RE\n.PP\ny\n"},
		"items":     {"## A\n\n* a\n  b\n* c\n\n1. d\n\n   e\n\nf\n", ".SH \"A\"\n.IP \\(bu 4\na b\n.IP \\(bu 4\nc\n.IP 1. 4\nd\n.IP\ne\n.PP\nf\n"},
		"table":     {"## A\n\n| a | b | c |\n|---|---|---|\n| `x` | y | z |\n\nf\n", ".SH \"A\"\n.TP\n\\fBx\\fR\ny; z\n.PP\nf\n"},
		"comment":   {"# T\n\n<!-- no -->\n\na\n", ".SH DESCRIPTION\na\n"},
		"long":      {"## A\n\n" + strings.Repeat("word ", 20) + "\n", ".SH \"A\"\n" + strings.TrimSpace(strings.Repeat("word ", 15)) + "\nword word word word word\n"},
	} {
		if diff := cmp.Diff(head+c.want, manual.Roff(page, c.markdown)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
