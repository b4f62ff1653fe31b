package report

import (
	"bufio"
	"fmt"
	"strings"

	"github.com/keyreeve/keyreeve/internal/plain"
	"github.com/keyreeve/keyreeve/policy"
	"github.com/keyreeve/keyreeve/registry"
)

// Bounds of what is printed about the registry, which may be thousands of entries of people who will never log in here.
const (
	maxRows  = 50 // of one section
	maxNames = 8  // of one key
	width    = 80 // columns
)

// textHygiene prints what is wrong with the registry: what it is not granted for, what counts with a remark, and keys of several
// people. Accounts of other hosts are no fault, and counted only.
func textHygiene(out *bufio.Writer, r Report) {
	var unusable, remarked, shared []row
	elsewhere := make(map[string]bool)
	for _, d := range r.Denied {
		if d.Reason == policy.ReasonAccountElsewhere {
			elsewhere[d.User] = true
			continue
		}
		unusable = append(unusable, row{fmt.Sprintf("%s  %s  %s", plain.Text(d.User), d.Reason, d.Key.Fingerprint()), plain.Text(d.Detail)})
	}
	for _, j := range r.Rejects {
		unusable = append(unusable, j.row())
	}
	for _, j := range r.Remarks {
		remarked = append(remarked, j.row())
	}
	for _, s := range r.Shared {
		shared = append(shared, row{s.Key.Fingerprint(), names(s)})
	}
	section(out, "registered, but not usable", unusable)
	section(out, "registered, with a remark", remarked)
	section(out, "one key of several people", shared)
	if len(elsewhere) > 0 {
		fmt.Fprintf(out, "registered, for other hosts\n  %d accounts with keys\n\n", len(elsewhere))
	}
}

// row is a line with a sentence below it.
type row struct{ head, detail string }

func (j Reject) row() row {
	return row{fmt.Sprintf("%s  %s  %s", plain.Text(j.User), j.Code, plain.Text(j.Origin)), plain.Text(j.Detail)}
}

// names lists who has a key.
func names(s registry.Shared) string {
	shown := s.Users[:min(len(s.Users), maxNames)]
	text := plain.Text(strings.Join(shown, ", "))
	if more := len(s.Users) - len(shown); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// section prints rows, not too many of them.
func section(out *bufio.Writer, title string, rows []row) {
	if len(rows) == 0 {
		return
	}
	fmt.Fprintln(out, title)
	for _, r := range rows[:min(len(rows), maxRows)] {
		fmt.Fprintf(out, "  %s\n", r.head)
		wrap(out, r.detail)
	}
	if more := len(rows) - maxRows; more > 0 {
		fmt.Fprintf(out, "  ... and %d more, which --format json has\n", more)
	}
	fmt.Fprintln(out)
}

// wrap prints a sentence in lines that fit into the width, where its words do.
func wrap(out *bufio.Writer, text string) {
	const indent = "      "
	column := 0
	for word := range strings.FieldsSeq(text) {
		switch {
		case column == 0:
			column = len(indent)
			_, _ = out.WriteString(indent) // Flush has the error
		case column+1+len(word) > width:
			column = len(indent)
			_, _ = out.WriteString("\n" + indent)
		default:
			column++
			_ = out.WriteByte(' ')
		}
		column += len(word)
		_, _ = out.WriteString(word)
	}
	fmt.Fprintln(out)
}
