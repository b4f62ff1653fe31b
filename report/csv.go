package report

import (
	"encoding/csv"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/plain"
)

// csvColumns is the head of the CSV report. Columns are added at the end; none changes its meaning or its place.
func csvColumns() []string {
	return []string{
		"host", "made", "user", "uid", "mode", "home", "account_state", "loses_access", "path", "file_state", "change", "line", "action", "reason", "detail",
		"key_type", "key_bits", "fingerprint", "options", "comment", "cluster", "registered_since",
	}
}

// CSV prints a row for each line of each file that is kept, also of those that stay; one without a line for what is said of a whole file (with the
// actions "replace", "undecided" and "remark") or of a whole account ("error", "unkept"); and one for an account of which nothing else
// is said ("none"), so that every account is there. The rows with the action "remove" whose file changes are as many as Counts.Remove. It is RFC 4180, in ASCII; foreign text is escaped as in a Go string, and what a
// spreadsheet would take for a formula has an apostrophe before it (Guarded).
// A private key in a home has a row with the action "private-key".
func CSV(w io.Writer, r Report) error {
	out := csv.NewWriter(w)
	out.UseCRLF = true // RFC 4180, section 2
	if err := out.Write(csvColumns()); err != nil {
		return err
	}
	locked := make(map[string]bool)
	for _, l := range r.Digest().Lockouts {
		locked[l.User] = true
	}
	for _, result := range r.Results {
		s := sheet{r: r, out: out, result: result, state: r.stateOf(result), locked: locked[result.Account.Name]}
		s.account()
	}
	out.Flush()
	return out.Error()
}

// Guarded gives a field that no spreadsheet takes for a formula. They do so by its first character, some after blanks and quotes (CWE-1236);
// an apostrophe before it makes it text. So is what follows a semicolon, which ends a field where the comma is the decimal sign. A
// whole number stays one.
func Guarded(field string) string {
	if _, err := strconv.Atoi(field); err == nil {
		return field
	}
	parts := strings.Split(field, ";")
	for i, part := range parts {
		first := strings.TrimLeft(part, " \t\r\n'\"")
		if first != "" && strings.ContainsRune("=+-@|%", rune(first[0])) {
			parts[i] = "'" + part
		}
	}
	return strings.Join(parts, ";")
}

// sheet prints the rows of one account.
type sheet struct {
	r      Report
	out    *csv.Writer
	result enforcer.Result
	state  HomeState
	locked bool
	rows   int
}

// csvLine is the part of a row that is not the account's.
type csvLine struct {
	path, state            string
	change                 bool // the file changes
	action, reason, detail string
	line                   authkeys.Line
}

func (s *sheet) account() {
	if s.result.Err != nil {
		for line := range strings.SplitSeq(s.result.Err.Error(), "\n") {
			s.row(csvLine{action: "error", detail: line})
		}
	}
	for _, u := range s.result.Unkept {
		s.row(csvLine{path: u.Path, action: "unkept", detail: u.Why})
	}
	s.private()
	for _, p := range s.result.Plans {
		s.plan(p)
	}
	if s.rows == 0 {
		s.row(csvLine{action: "none"})
	}
}

func (s *sheet) plan(p enforcer.Plan) {
	of := csvLine{path: p.Path(), state: p.State.String(), change: s.r.counts(p)}
	whole := func(action, reason, detail string) {
		l := of
		l.action, l.reason, l.detail = action, reason, detail
		s.row(l)
	}
	if p.Unresolved != "" {
		whole("undecided", "", p.Unresolved)
	}
	if p.Whole.Reason != "" {
		whole(ActionReplace, string(p.Whole.Reason), p.Whole.Detail)
	}
	if p.Remark != "" {
		whole("remark", "", p.Remark)
	}
	for _, d := range decisions(p) {
		l := of
		l.action, l.reason, l.detail, l.line = d.action, string(d.Reason), d.Detail, d.Line
		s.row(l)
	}
	for _, g := range p.Add {
		l := of
		l.action, l.reason, l.line = ActionAdd, "granted", g.Line()
		s.row(l)
	}
}

// decided is a line of a file and what becomes of it.
type decided struct {
	action string
	enforcer.Decision
}

// decisions lists the lines of a file in their order.
func decisions(p enforcer.Plan) (list []decided) {
	for _, part := range []struct {
		action string
		list   []enforcer.Decision
	}{{ActionKeep, p.Keep}, {ActionRewrite, p.Rewrite}, {ActionRemove, p.Remove}} {
		for _, d := range part.list {
			list = append(list, decided{part.action, d})
		}
	}
	slices.SortStableFunc(list, func(a, b decided) int { return a.Line.N - b.Line.N })
	return list
}

// row prints one row. The writer keeps its first error.
func (s *sheet) row(l csvLine) {
	s.rows++
	a := s.result.Account
	keyType, bits, number, since := "", "", "", ""
	if !l.line.Key.IsZero() {
		keyType, bits = l.line.Key.Type(), strconv.Itoa(l.line.Key.Bits())
		since = stamp(s.r.Seen[Holding{a.Name, l.line.Key}])
	}
	if l.line.N > 0 {
		number = strconv.Itoa(l.line.N)
	}
	fields := []string{
		plain.Text(s.r.Host), stamp(s.r.Made), plain.Text(a.Name), strconv.Itoa(a.UID), s.r.Modes[a.Name], plain.Text(a.Home), string(s.state),
		strconv.FormatBool(s.locked), plain.Text(l.path), l.state, strconv.FormatBool(l.change), number, l.action, l.reason, plain.Text(l.detail),
		keyType, bits, l.line.Key.Fingerprint(), plain.Cut(l.line.Options.String(), foreignBound), plain.Cut(l.line.Comment, foreignBound),
		string(markOf(a.Name, s.r.Host, l.line.Comment)), since,
	}
	for i, field := range fields {
		fields[i] = Guarded(field)
	}
	_ = s.out.Write(fields)
}

// stamp is empty for the zero time.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
