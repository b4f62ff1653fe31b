package report

import (
	"bufio"
	"cmp"
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/plain"
)

// RegistryText prints the faults for people, as Text does.
func RegistryText(w io.Writer, r Registry, color bool) error {
	out := &page{out: bufio.NewWriter(w), color: color}
	textHead(out, Report{Host: r.Host, Made: r.Made, Source: r.Source, Users: r.Users, Keys: r.Keys, Held: r.Held, Policy: r.Policy})
	textClasses(out, r)
	for _, class := range classes() {
		rows(out, bold, class.Title(), r.faults(class), func(f Fault) { textFault(out, f) })
	}
	textClasses(out, r)
	return out.out.Flush()
}

// faults lists those of a class, nobody's before all others'.
func (r Registry) faults(class Class) (list []Fault) {
	for _, f := range r.Faults {
		if f.Class == class {
			list = append(list, f)
		}
	}
	return fair(list, func(f Fault) string { return f.User })
}

// textClasses prints the totals.
func textClasses(out *page, r Registry) {
	n, i := r.Count(), plainInk
	for _, class := range classes() {
		if class == ClassPrivate && n[class] > 0 {
			i = red
		}
		fmt.Fprintf(out, "%s%9d\n", out.paint(i, fmt.Sprintf("%-42s", class.Title())), n[class])
		i = plainInk
	}
	fmt.Fprintln(out)
}

func textFault(out *page, f Fault) {
	if len(f.Others) > 0 {
		out.row(f.Key.Fingerprint())
		out.wrap(some(slices.Concat([]string{f.User}, f.Others)))
		return
	}
	out.row(plain.Text(f.User), f.Code, cmp.Or(f.Key.Fingerprint(), plain.Text(f.Origin)))
	out.wrap(plain.Text(f.Detail))
}

// RegistryCSV prints a row for each fault, as CSV does.
func RegistryCSV(w io.Writer, r Registry) error {
	out := csv.NewWriter(w)
	out.UseCRLF = true // RFC 4180, section 2
	_ = out.Write([]string{"host", "made", "class", "user", "code", "key_type", "key_bits", "fingerprint", "origin", "detail", "until", "others"})
	for _, f := range r.Faults {
		keyType, bits := "", ""
		if !f.Key.IsZero() {
			keyType, bits = f.Key.Type(), strconv.Itoa(f.Key.Bits())
		}
		fields := []string{
			r.Host, stamp(r.Made), string(f.Class), f.User, f.Code, keyType, bits, f.Key.Fingerprint(), f.Origin, f.Detail, stamp(f.Until), strings.Join(f.Others, " "),
		}
		for i, field := range fields {
			fields[i] = Guarded(plain.Text(field))
		}
		_ = out.Write(fields) // Error has it
	}
	out.Flush()
	return out.Error()
}

type jsonFault struct {
	Class       Class      `json:"class"`
	User        string     `json:"user"`
	Code        string     `json:"code"`
	Type        string     `json:"key_type,omitempty"`
	Bits        int        `json:"key_bits,omitempty"`
	Fingerprint string     `json:"fingerprint,omitempty"`
	Origin      string     `json:"origin,omitempty"`
	Detail      string     `json:"detail"`
	Until       *time.Time `json:"until,omitempty"`
	Others      []string   `json:"others,omitempty"`
}

// RegistryJSON prints the faults as one JSON object in ASCII, as JSON does.
func RegistryJSON(w io.Writer, r Registry) error {
	out := struct {
		Version  int           `json:"version"`
		Host     string        `json:"host,omitempty"`
		Made     *time.Time    `json:"made,omitempty"`
		Registry jsonRegistry  `json:"registry"`
		Policy   string        `json:"policy"`
		Summary  map[Class]int `json:"summary"`
		Faults   []jsonFault   `json:"faults"`
	}{
		formatVersion, plain.Text(r.Host), instant(r.Made), jsonRegistry{plain.Text(r.Source), r.Users, r.Keys, plain.Text(r.Held)}, r.Policy, r.Count(), []jsonFault{},
	}
	for _, f := range r.Faults {
		j := jsonFault{
			Class: f.Class, User: plain.Text(f.User), Code: f.Code, Fingerprint: f.Key.Fingerprint(), Origin: plain.Text(f.Origin), Detail: plain.Text(f.Detail),
			Type: f.Key.Type(), Bits: f.Key.Bits(), Until: instant(f.Until),
		}
		for _, name := range f.Others {
			j.Others = append(j.Others, plain.Text(name))
		}
		out.Faults = append(out.Faults, j)
	}
	return writeJSON(w, out)
}
