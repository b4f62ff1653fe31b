// Package manual makes keyreeve's manual of what the program and its example know: [Config] and [Commands] give Markdown, [Roff]
// makes a manual page of Markdown. It is for the build alone (internal/generate); the program does not have it.
package manual

import (
	"fmt"
	"regexp"
	"strings"
)

// Page is what a manual page's first lines say.
type Page struct {
	Name, Section string
	// Purpose is the line of apropos(1).
	Purpose string
	// Date is that of the source, as 2006-01-02, and Version the program's.
	Date, Version string
}

// sectionName is what man(7) calls it.
func sectionName(section string) string {
	if section == "5" {
		return "File Formats Manual"
	}
	return "System Manager's Manual"
}

// Roff makes a page for man(7) of the part of Markdown that keyreeve's documents are written in: headings, paragraphs, lists with "* " and
// "1. ", text indented by four blanks, tables, and in a line code, bold, emphasis and links. A title ("# ...") is left out: the page has its own.
func Roff(p Page, markdown string) string {
	r := roff{}
	fmt.Fprintf(&r.b, ".TH %s %s \"%s\" \"keyreeve %s\" \"%s\"\n.SH NAME\n%s \\- %s\n",
		strings.ToUpper(p.Name), p.Section, p.Date, p.Version, sectionName(p.Section), p.Name, escape(p.Purpose))
	if !strings.HasPrefix(strings.TrimSpace(markdown), "## ") {
		r.b.WriteString(".SH DESCRIPTION\n")
		r.fresh = true
	}
	for line := range strings.SplitSeq(markdown, "\n") {
		r.line(strings.TrimRight(line, " "))
	}
	r.flush()
	return r.b.String()
}

// roff is the page as far as it is written, and the block that is being read.
type roff struct {
	b     strings.Builder
	fresh bool   // nothing stands below the last heading yet: a paragraph needs no request there
	depth int    // lists that are open: 0, or 1 for text that belongs to an item
	tag   string // the request that begins the block
	text  []string
	code  []string
	rows  int // of a table, so far
}

var (
	itemLine  = regexp.MustCompile(`^\s*(?:\*|(\d+\.)) +(.*)$`)
	tableLine = regexp.MustCompile(`^\|(.*)\|$`)
)

// line takes one line of Markdown.
func (r *roff) line(text string) {
	item := itemLine.FindStringSubmatch(text)
	row := tableLine.FindStringSubmatch(text)
	indented := strings.HasPrefix(text, strings.Repeat(" ", 4*(r.depth+1)))
	if row == nil {
		r.rows = 0
	}
	switch {
	case text == "":
		if len(r.code) == 0 {
			r.flush()
		} else {
			r.code = append(r.code, "")
		}
	case strings.HasPrefix(text, "<!--"): // for who reads the source
	case strings.HasPrefix(text, "#"):
		r.heading(text)
	case row != nil:
		r.row(row[1])
	case indented && len(r.text) == 0:
		r.code = append(r.code, text[4*(r.depth+1):])
	case item != nil && !strings.HasPrefix(text, "    "):
		r.flush()
		r.depth = 1
		if item[1] == "" {
			item[1] = "\\(bu"
		}
		r.tag, r.text = fmt.Sprintf(".IP %s 4", item[1]), []string{item[2]}
	case text[0] != ' ' && len(r.text) == 0:
		r.flush()
		r.depth = 0
		r.text = []string{text}
	default:
		r.flushCode()
		r.text = append(r.text, strings.TrimSpace(text))
	}
}

func (r *roff) heading(text string) {
	r.flush()
	r.depth, r.fresh = 0, true
	switch marks, title, _ := strings.Cut(text, " "); marks {
	case "#":
		return
	case "##":
		if !strings.HasPrefix(title, "`") { // a name is written as it is
			title = strings.ToUpper(title)
		}
		fmt.Fprintf(&r.b, ".SH %s\n", quote(title))
	default:
		fmt.Fprintf(&r.b, ".SS %s\n", quote(title))
	}
}

// row makes an item of a row: what the first column names, and what the others say of it.
func (r *roff) row(cells string) {
	r.flush()
	r.rows++
	if r.rows <= 2 { // the heading, and the line below it
		return
	}
	first, rest, _ := strings.Cut(strings.TrimSpace(cells), " | ")
	fmt.Fprintf(&r.b, ".TP\n%s\n%s\n", inline(strings.TrimSpace(first)), wrap(strings.ReplaceAll(rest, " | ", "; ")))
	r.fresh, r.depth = false, 0
}

// flush ends the block that is being read.
func (r *roff) flush() {
	r.flushCode()
	if len(r.text) == 0 {
		return
	}
	switch {
	case r.tag != "":
		r.b.WriteString(r.tag + "\n")
	case r.depth == 1:
		r.b.WriteString(".IP\n")
	case !r.fresh:
		r.b.WriteString(".PP\n")
	}
	r.b.WriteString(wrap(strings.Join(r.text, " ")) + "\n")
	r.fresh, r.tag, r.text = false, "", nil
}

func (r *roff) flushCode() {
	if len(r.code) == 0 {
		return
	}
	for r.code[len(r.code)-1] == "" {
		r.code = r.code[:len(r.code)-1]
	}
	if !r.fresh {
		r.b.WriteString(".PP\n")
	}
	r.b.WriteString(".RS 4\n.nf\n")
	for _, line := range r.code {
		r.b.WriteString(guard(escape(line)) + "\n")
	}
	r.b.WriteString(".fi\n.RE\n")
	r.code, r.fresh = nil, false
}

// quote is the argument of a heading.
func quote(title string) string {
	return `"` + strings.ReplaceAll(escape(strings.ReplaceAll(title, "`", "")), `"`, `\(dq`) + `"`
}

// width is what mandoc(1) thinks a line of the source should have at most.
const width = 78

// wrap fills lines: the source of a page is read by people as well.
func wrap(text string) string {
	var b strings.Builder
	at := 0
	for word := range strings.FieldsSeq(inline(text)) {
		if at > 0 && at+1+len(word) > width {
			b.WriteByte('\n')
			at = 0
		} else if at > 0 {
			b.WriteByte(' ')
			at++
		}
		if at == 0 {
			word = guard(word)
		}
		b.WriteString(word)
		at += len(word)
	}
	return b.String()
}

// guard keeps a line from being a request.
func guard(line string) string {
	if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
		return `\&` + line
	}
	return line
}

// marks are what changes the type within a line.
var marks = regexp.MustCompile("``?([^`]+)``?|\\*\\*([^*]+)\\*\\*|(?:\\*)([^*\\s][^*]*)\\*|\\[([^\\]]+)\\]\\([^)]+\\)")

func inline(text string) string {
	var b strings.Builder
	at := 0
	for _, m := range marks.FindAllStringSubmatchIndex(text, -1) {
		b.WriteString(escape(text[at:m[0]]))
		at = m[1]
		switch {
		case m[2] >= 0:
			b.WriteString(`\fB` + escape(text[m[2]:m[3]]) + `\fR`)
		case m[4] >= 0:
			b.WriteString(`\fB` + inline(text[m[4]:m[5]]) + `\fR`)
		case m[6] >= 0:
			b.WriteString(`\fI` + inline(text[m[6]:m[7]]) + `\fR`)
		default:
			b.WriteString(inline(text[m[8]:m[9]]))
		}
	}
	return b.String() + escape(text[at:])
}

// escape writes text that means itself: man(7) would make a hyphen of "-", and quotes and accents of "'", "`", "^" and "~".
func escape(text string) string {
	return strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", "\\(ga", "^", `\(ha`, "~", `\(ti`, "–", `\(en`, "…", `\&...`, "→", `\(->`, "≥", `\(>=`).Replace(text)
}
