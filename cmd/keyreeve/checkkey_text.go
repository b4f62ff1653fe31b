package main

import (
	"bufio"
	"fmt"
	"strings"

	"github.com/keyreeve/keyreeve/internal/plain"
)

// columns is how wide text for people is. The line of a key is longer: it is to be copied.
const columns = 80

// flow breaks words into lines behind a margin.
func flow(out *bufio.Writer, first, margin, text string) {
	line := first
	for word := range strings.FieldsSeq(text) {
		if len(line)+1+len(word) > columns && len(line) > len(margin) {
			fmt.Fprintln(out, strings.TrimRight(line, " "))
			line = margin
		}
		if len(line) > len(margin) {
			line += " "
		}
		line += word
	}
	fmt.Fprintln(out, strings.TrimRight(line, " "))
}

func (d checkDocument) text(out *bufio.Writer) {
	if d.OK {
		fmt.Fprint(out, "good\n\n")
	} else {
		fmt.Fprintf(out, "refused: %s\n\n", plain.Text(d.Code))
	}
	flow(out, "", "", d.Message)
	if len(d.Commands) > 0 {
		fmt.Fprint(out, "\nWhat to do:\n\n")
		for _, command := range d.Commands {
			fmt.Fprintf(out, "    %s\n", command)
		}
	}
	if d.Line != "" && !d.OK {
		fmt.Fprintf(out, "\nThe line should be:\n\n%s\n\n", d.Line)
		fmt.Fprint(out, "Before it is used, compare its fingerprint with the one that this shows where\nthe key was made:\n\n    ssh-keygen -l -f FILE\n")
	}
	fmt.Fprintln(out)
	if d.Key != nil {
		fmt.Fprintf(out, "key       %s\n          %s %d\n", d.Key.Fingerprint, plain.Text(d.Key.Type), d.Key.Bits)
	}
	const margin = "          "
	flow(out, "policy    ", margin, d.Policy.Accepts)
	if why := d.Policy.note(); why != "" {
		flow(out, margin, margin, "("+why+")")
	}
	if d.Options != nil {
		d.Options.text(out)
	}
	if d.Key != nil {
		flow(out, "registry  ", margin, d.Registry.words())
	}
}

// words say who has a key.
func (d holderDocument) words() string {
	since := ""
	if d.Read != nil {
		since = ", as of " + d.Read.Format("2006-01-02 15:04 MST")
	}
	names := make([]string, len(d.Users))
	for i, name := range d.Users {
		names[i] = plain.Text(name)
	}
	switch d.State {
	case holderFree:
		return "nobody has this key" + since
	case holderYours, holderTaken:
		return "registered to " + strings.Join(names, ", ") + since
	}
	return "not looked at: " + plain.Text(d.Why)
}
