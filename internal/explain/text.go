package explain

import (
	"bufio"
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/plain"
)

// width is what a line of text has at most, but for a word that is longer.
const width = 80

// printer writes text of others, made fit for a terminal, on lines of that width.
type printer struct{ *bufio.Writer }

// wrap writes a head and a text behind it, which goes on in the same column.
func (p printer) wrap(head, text string) {
	column := len(head)
	used := column
	fmt.Fprint(p, head)
	for i, word := range strings.Fields(plain.Cut(text, 2048)) {
		if i > 0 && used+1+len(word) > width {
			fmt.Fprint(p, "\n", strings.Repeat(" ", column))
			used = column
		} else if i > 0 {
			fmt.Fprint(p, " ")
			used++
		}
		fmt.Fprint(p, word)
		used += len(word)
	}
	fmt.Fprintln(p)
}

// row is a line of a name and a text.
func (p printer) row(indent int, name, text string) {
	p.wrap(fmt.Sprintf("%*s%-*s ", indent, "", 12-indent, name), text)
}

// Text writes the answer for a person.
func (a Answer) Text(out *bufio.Writer) {
	p := printer{out}
	who := a.User
	if a.UID >= 0 {
		who += fmt.Sprintf(", uid %d, home %s", a.UID, a.Home)
	}
	p.wrap("", who)
	a.verdict(p)
	fmt.Fprintln(p)
	a.Registry.text(p)
	for _, s := range a.Servers {
		s.text(p)
	}
	if len(a.Removed) > 0 {
		fmt.Fprintln(p, "\ntaken out of his files by keyreeve, the newest first")
		for _, r := range a.Removed {
			p.wrap("    ", fmt.Sprintf("%s %s:%d %s", r.Time.UTC().Format(time.RFC3339), r.File, r.Line, r.Reason))
			p.wrap("        ", strings.TrimSpace(r.Fingerprint+" (keyreeve quarantine show "+r.Copy+")"))
		}
	}
	if len(a.Hints) > 0 {
		fmt.Fprintln(p, "\nwhat goes wrong at clients, and does not show here")
		for _, h := range a.Hints {
			h.text(p)
		}
	}
	if len(a.Notes)+len(a.Unknown) > 0 {
		fmt.Fprintln(p)
	}
	for _, note := range a.Notes {
		p.row(0, "note", note)
	}
	for _, u := range a.Unknown {
		p.row(0, "not known", u)
	}
}

// verdict is the answer in one line, and the first thing that stops a login.
func (a Answer) verdict(p printer) {
	what, which := "no key of his logs in", ""
	if a.Asked != "" {
		what = "the key does not log in"
	}
	switch {
	case a.LogsIn && a.Asked != "":
		what = "the key logs in"
	case a.LogsIn:
		what = "a key of his logs in"
	}
	if a.From != "" {
		which = " from " + a.From
	}
	if !a.Known {
		which += ", as far as is known"
	}
	p.row(0, "answer", what+which)
	if a.Asked != "" {
		p.row(0, "key", a.Asked)
	}
	for _, s := range a.Servers {
		if a.Asked != "" && len(s.Keys) == 1 {
			p.row(0, "keyreeve", s.Keys[0].Reason+after(s.Keys[0].Detail))
			break
		}
	}
	if a.Stop != nil {
		p.row(0, "stopped by", a.Stop.Code+": "+a.Stop.told())
		if a.Stop.Do != "" {
			p.row(0, "do", a.Stop.Do)
		}
	}
}

func (s Step) told() string {
	if s.Where == "" {
		return s.What
	}
	return s.Where + ": " + s.What
}

// text is a step with its mark: what stops the login first has an arrow.
func (s Step) text(p printer) {
	mark := "   "
	if s.First {
		mark = "-->"
	}
	p.wrap(fmt.Sprintf("%s %-7s ", mark, s.State), s.Code+": "+s.told())
	if s.Do != "" && s.State != OK {
		p.wrap("            do: ", s.Do)
	}
}

func (r RegistryAnswer) text(p printer) {
	head := "the registry"
	if r.Mode != "" {
		head += ", and what keyreeve does by it (mode " + r.Mode + ")"
	}
	fmt.Fprintln(p, head)
	for _, s := range r.Steps {
		s.text(p)
	}
	for _, k := range r.Keys {
		k.text(p)
	}
}

func (k KeyRecord) text(p printer) {
	p.wrap("    ", strings.TrimSpace(fmt.Sprintf("%s %d %s %s", k.Type, k.Bits, k.Fingerprint, k.Label)))
	if k.Options != "" {
		p.row(8, "options", k.Options)
	}
	p.wrap("        ", k.Reason+after(k.Detail))
	if k.Until != nil {
		p.wrap("        ", "until "+k.Until.UTC().Format(time.RFC3339))
	}
}

func after(detail string) string {
	if detail == "" {
		return ""
	}
	return ": " + detail
}

func (s ServerAnswer) text(p printer) {
	fmt.Fprintln(p)
	p.wrap("", "sshd ("+cmp.Or(s.Config, "none was asked")+"), in the order in which it looks")
	for _, step := range s.Steps {
		step.text(p)
	}
	if len(s.Lines) > 0 {
		fmt.Fprintln(p, "\nlines with keys, and what sshd makes of them")
	}
	for _, l := range s.Lines {
		l.text(p)
	}
	if len(s.Keys) > 0 {
		fmt.Fprintln(p, "\nkeys")
	}
	for _, k := range s.Keys {
		k.text(p)
	}
}

func (l Line) text(p printer) {
	taken := "takes"
	if !l.Taken {
		taken = "skips"
	}
	p.wrap("    "+taken+"   ", strings.Join(strings.Fields(fmt.Sprintf("%s %s %s", l.where(), l.Type, l.Fingerprint)), " "))
	if l.Why != "" {
		p.wrap("            ", strings.TrimPrefix(l.Code+": ", ": ")+l.Why)
	}
	if l.Reason != granted {
		p.wrap("            keyreeve: ", l.Reason+after(l.Detail))
	}
}

func (k KeyAnswer) text(p printer) {
	p.wrap("    ", strings.Join(strings.Fields(fmt.Sprintf("%s %s %s", k.Type, k.Fingerprint, k.Label)), " "))
	if k.LogsIn {
		p.wrap("        logs in, by ", strings.TrimSpace(k.Way.where()+" "+k.Way.only))
	}
	for _, s := range k.Stops {
		mark := "        "
		if s.First {
			mark = "   -->  "
		}
		p.wrap(mark, s.Code+": "+s.told())
	}
	if k.LogsIn && k.Reason != granted {
		p.wrap("        keyreeve: ", k.Reason+after(k.Detail))
	}
}
