package manual

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"github.com/keyreeve/keyreeve/internal/config"
)

// entry is one key of the example.
type entry struct {
	path     string
	optional bool     // it stands there as a comment, since its default is not to be there
	value    string   // in YAML; of several lines where it is a list
	prose    []string // the comment's lines
	group    bool     // it has keys of its own
}

// line is a key of the example, or one that is commented out: "#key:" where a sentence begins with "# ".
var line = regexp.MustCompile(`^( *)(#?)([a-z_0-9]+):(?: (.*))?$`)

// remark is a comment behind a value.
var remark = regexp.MustCompile(`^(.*?) {2,}# (.*)$`)

// parse reads the example: two blanks of indentation are one level, a comment is of the key below it, and an empty line ends what a
// comment belongs to. before is the comment that belongs to no key.
func parse(example string) (before []string, entries []entry) {
	var prose, names []string
	lines := strings.Split(example, "\n")
	for i := 0; i < len(lines); i++ {
		text := strings.TrimLeft(lines[i], " ")
		found := line.FindStringSubmatch(lines[i])
		switch {
		case text == "":
			if len(entries) == 0 {
				before = append(before, prose...)
			}
			prose = nil
		case found == nil:
			prose = append(prose, strings.TrimPrefix(strings.TrimPrefix(text, "#"), " "))
		default:
			names = append(names[:len(found[1])/2], found[3])
			e := entry{path: strings.Join(names, "."), optional: found[2] != "", value: found[4], prose: prose}
			prose = nil
			if behind := remark.FindStringSubmatch(e.value); behind != nil {
				e.value, e.prose = strings.TrimSpace(behind[1]), append(e.prose, behind[2])
			}
			if e.value == "" {
				body := list(lines[i+1:], len(found[1]))
				e.value, e.group = strings.Join(body, "\n"), len(body) == 0
				i += len(body)
			}
			entries = append(entries, e)
		}
	}
	return before, entries
}

// list gives the lines of a list that begins here, deeper than its key, with the comments in it.
func list(lines []string, indent int) []string {
	if len(lines) == 0 || !strings.HasPrefix(strings.TrimLeft(lines[0], " "), "- ") {
		return nil
	}
	n := 0
	for n < len(lines) && strings.HasPrefix(lines[n], strings.Repeat(" ", indent+1)) {
		n++
	}
	return lines[:n]
}

// Config makes the reference of the configuration of its commented example: a heading for each key, what it has by default or in the
// example, and what the comment says of it. name is the example's name in errors.
func Config(name string, example []byte) (string, error) {
	shown, err := config.Parse(name, example)
	if err != nil {
		return "", err
	}
	before, entries := parse(string(example))
	var b strings.Builder
	b.WriteString(prose(before))
	told := "" // the key whose comment is that of those without one
	for _, e := range entries {
		marks := "###"
		if !strings.Contains(e.path, ".") {
			marks = "##"
		} else if e.group && len(e.prose) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n%s `%s`\n", marks, e.path)
		if !e.group {
			word := "Example"
			if !e.optional && isDefault(shown, e.path) {
				word = "Default"
			}
			b.WriteString(value(word, e.value))
		}
		switch {
		case len(e.prose) > 0:
			// A group's comment goes on to be that of its keys, whichever of them have one of their own.
			if !strings.HasPrefix(e.path, told+".") {
				told = e.path
			}
		case !e.group && (above(e.path) == told || above(e.path) == above(told)):
			e.prose = []string{fmt.Sprintf("See `%s`.", told)}
		}
		b.WriteString(prose(e.prose))
	}
	return b.String(), nil
}

// above is the key that a key stands below.
func above(path string) string {
	return path[:max(0, strings.LastIndexByte(path, '.'))]
}

func value(word, text string) string {
	if !strings.Contains(text, "\n") {
		return fmt.Sprintf("\n%s: `%s`\n", word, text)
	}
	return fmt.Sprintf("\n%s:\n\n%s\n", word, text)
}

// column is a line of a table: a word, blanks, and what it means.
var column = regexp.MustCompile(`^([a-z0-9-]+) {2,}(\S.*)$`)

// prose is a comment as Markdown. An empty line parts paragraphs.
func prose(lines []string) string {
	var b strings.Builder
	for i, text := range lines {
		cells := column.FindStringSubmatch(text)
		if i == 0 || cells != nil && column.FindStringSubmatch(lines[i-1]) == nil {
			b.WriteByte('\n')
		}
		if cells != nil {
			text = fmt.Sprintf("* `%s`: %s", cells[1], cells[2])
		} else if i > 0 && column.MatchString(lines[i-1]) {
			b.WriteByte('\n')
		}
		b.WriteString(text + "\n")
	}
	return b.String()
}

// isDefault reports whether the key has the value there that it has where a file leaves it out.
func isDefault(shown config.Config, path string) bool {
	a, b := reflect.ValueOf(shown), reflect.ValueOf(config.Default())
	for name := range strings.SplitSeq(path, ".") {
		field, ok := tagged(a.Type(), name)
		if !ok {
			return false
		}
		a, b = a.FieldByIndex(field), b.FieldByIndex(field)
	}
	return reflect.DeepEqual(a.Interface(), b.Interface()) || a.Kind() == reflect.Slice && a.Len()+b.Len() == 0
}

// tagged finds the field of a struct that is this key of YAML.
func tagged(t reflect.Type, name string) ([]int, bool) {
	if t.Kind() == reflect.Struct {
		for field := range t.Fields() {
			if field.Tag.Get("yaml") == name {
				return field.Index, true
			}
		}
	}
	return nil, false
}
