package report

import (
	"fmt"
	"strings"

	"github.com/keyreeve/keyreeve/internal/plain"
	"github.com/keyreeve/keyreeve/policy"
)

// textHygiene prints what is wrong with the registry: what it is not granted for, what counts with a remark, and keys of several
// people. Accounts of other hosts are no fault, and counted only.
func textHygiene(out *page, r Report) {
	var unusable, remarked, shared []row
	elsewhere := make(map[string]bool)
	for _, d := range r.Denied {
		if d.Reason == policy.ReasonAccountElsewhere {
			elsewhere[d.User] = true
			continue
		}
		unusable = append(unusable, row{[]string{plain.Text(d.User), string(d.Reason), d.Key.Fingerprint()}, plain.Text(d.Detail)})
	}
	for _, j := range r.Rejects {
		unusable = append(unusable, j.row())
	}
	for _, j := range r.Remarks {
		remarked = append(remarked, j.row())
	}
	for _, s := range r.Shared {
		shared = append(shared, row{[]string{s.Key.Fingerprint()}, some(s.Users)})
	}
	who := func(r row) string { return r.words[0] }
	rows(out, bold, "registered, but not usable", fair(unusable, who), out.item)
	rows(out, bold, "registered, with a remark", fair(remarked, who), out.item)
	rows(out, bold, "one key of several people", shared, out.item)
	if len(elsewhere) > 0 {
		out.title(bold, "registered, for other hosts")
		fmt.Fprintf(out, "  %d accounts with keys\n\n", len(elsewhere))
	}
}

// row is a line of words with a sentence below it.
type row struct {
	words  []string
	detail string
}

func (p *page) item(r row) {
	p.row(r.words...)
	p.wrap(r.detail)
}

func (j Reject) row() row {
	return row{[]string{plain.Text(j.User), j.Code, plain.Text(j.Origin)}, plain.Text(j.Detail)}
}

// some lists the first of several names.
func some(list []string) string {
	shown := list[:min(len(list), maxNames)]
	text := plain.Text(strings.Join(shown, ", "))
	if more := len(list) - len(shown); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
