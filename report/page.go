package report

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Bounds of what the text shows, so that it can be read however many accounts there are. CSV and JSON have it all.
const (
	width        = 80   // columns
	maxRows      = 50   // of one section
	maxNames     = 8    // of one row
	maxDetail    = 1000 // lines about accounts, after which no further file begins
	maxDecisions = 40   // of one file and one kind, fewer where there are many accounts, so that nobody pushes the others out
	minDecisions = 5    // of those
	minShare     = 40   // lines about one account, after which none of its further files begins
)

// ink is how a part of the text looks on a terminal, an SGR sequence of ECMA-48 without its frame.
type ink string

const (
	plainInk ink = ""
	bold     ink = "1"
	red      ink = "31"
	green    ink = "32"
	yellow   ink = "33"
)

// page is a text in the making.
type page struct {
	out   *bufio.Writer
	color bool
	lines int // that are written
	each  int // decisions of one file and one kind that are shown
}

// Write makes a page an io.Writer. Flush has the error.
func (p *page) Write(text []byte) (int, error) {
	p.lines += bytes.Count(text, []byte("\n"))
	return p.out.Write(text)
}

// paint colours a text; its width is counted before that.
func (p *page) paint(i ink, text string) string {
	if !p.color || i == plainInk || text == "" {
		return text
	}
	return "\x1b[" + string(i) + "m" + text + "\x1b[0m"
}

// title prints the line above a section.
func (p *page) title(i ink, format string, args ...any) {
	p.fold(i, fmt.Sprintf(format, args...), "", "  ")
}

// fold prints a lead in a colour and a text behind it, in lines that fit into the width where their words do; the following ones begin with the
// indent. Blanks within the lead stay.
func (p *page) fold(i ink, lead, text, indent string) {
	column := 0
	word := func(w string) {
		switch {
		case column == 0:
		case column+1+len(w) > width:
			_, _ = io.WriteString(p, "\n"+indent)
			column = len(indent)
		default:
			_, _ = io.WriteString(p, " ")
			column++
		}
		_, _ = io.WriteString(p, p.paint(i, w))
		column += len(w)
	}
	for len(lead) > width {
		cut := strings.LastIndexByte(lead[:width+1], ' ')
		if cut <= len(indent) {
			break
		}
		word(lead[:cut])
		_, _ = io.WriteString(p, "\n")
		column, lead = 0, indent+strings.TrimLeft(lead[cut:], " ")
	}
	if lead != "" {
		word(lead)
	}
	i = plainInk
	for w := range strings.FieldsSeq(text) {
		word(w)
	}
	_, _ = io.WriteString(p, "\n")
}

// wrap prints a sentence below a row.
func (p *page) wrap(text string) {
	const indent = "      "
	lead, rest, _ := strings.Cut(strings.TrimLeft(text, " "), " ")
	if lead != "" {
		p.fold(plainInk, indent+lead, rest, indent)
	}
}

// row prints words, but for empty ones, with two blanks between, the last on a line of its own where it does not fit.
func (p *page) row(words ...string) {
	words = slices.DeleteFunc(words, func(w string) bool { return w == "" })
	line := "  " + strings.Join(words, "  ")
	if last := len(words) - 1; len(line) > width && last > 0 {
		p.fold(plainInk, "  "+strings.Join(words[:last], "  "), "", "      ")
		p.wrap(words[last])
		return
	}
	fmt.Fprintln(p, line)
}

// more says how much was left out.
func (p *page) more(all, shown int) {
	if all > shown {
		fmt.Fprintf(p, "  ... and %d more, which --format json has\n", all-shown)
	}
}

// maxTurn is how many rows of one account stand before the others'.
const maxTurn = 10

// fair puts what somebody has more than maxTurn of behind the others', and so on: who has many must not push them out of what is shown.
func fair[T any](list []T, who func(T) string) []T {
	seen := make(map[string]int)
	var turns [][]T
	for _, item := range list {
		turn := seen[who(item)] / maxTurn
		seen[who(item)]++
		if turn == len(turns) {
			turns = append(turns, nil)
		}
		turns[turn] = append(turns[turn], item)
	}
	return slices.Concat(turns...)
}

// rows prints a section, not too much of it.
func rows[T any](p *page, i ink, title string, list []T, show func(T)) {
	if len(list) == 0 {
		return
	}
	p.title(i, "%s", title)
	shown := list[:min(len(list), maxRows)]
	for _, item := range shown {
		show(item)
	}
	p.more(len(list), len(shown))
	fmt.Fprintln(p)
}
