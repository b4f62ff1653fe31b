package report

import (
	"fmt"
	"strings"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/plain"
	"github.com/keyreeve/keyreeve/internal/privkey"
	"github.com/keyreeve/keyreeve/policy"
)

// privateEach is how many findings about one person the text and the first table of a page show: he may have as many as he likes.
const privateEach = 4

// actionPrivate is the action of a row about a private key, which nothing becomes of.
const actionPrivate = "private-key"

// textPrivateCounts prints the totals.
func textPrivateCounts(out *page, d Digest) {
	if n := d.PrivateUsers(PrivateOpen); n > 0 {
		fmt.Fprintln(out, out.paint(yellow, fmt.Sprintf("people    with a private key without a passphrase: %d", n)))
	}
	if n := d.PrivateUsers(PrivateUnread); n > 0 {
		fmt.Fprintf(out, "people    with a file that could not be searched for private keys: %d\n", n)
	}
}

// textPrivate prints who has private keys that are not as they should be.
func textPrivate(out *page, d Digest) {
	title := fmt.Sprintf("private keys: people who have one without a passphrase: %d, and of the cluster itself: %d", d.PrivateUsers(PrivateOpen), d.PrivateUsers(PrivateCluster))
	rows(out, yellow, title, d.privatePeople(), func(list []PrivateFinding) {
		for _, f := range list[:min(len(list), privateEach)] {
			out.row(plain.Text(f.User), plain.Text(f.Path))
			out.wrap(strings.TrimSuffix(string(f.Code)+": "+plain.Text(f.Detail()), ": "))
			if !f.Public.IsZero() {
				out.wrap(f.Public.Fingerprint() + " " + kindOf(f.Public))
			}
		}
		out.more(len(list), privateEach)
	})
}

// privatePeople are the findings of one person after the other.
func (d Digest) privatePeople() (people [][]PrivateFinding) {
	for i, f := range d.Private {
		if i == 0 || d.Private[i-1].User != f.User {
			people = append(people, nil)
		}
		last := len(people) - 1
		people[last] = append(people[last], f)
	}
	return people
}

type jsonPrivate struct {
	User        string        `json:"user"`
	Path        string        `json:"path"`
	Code        PrivateCode   `json:"code"`
	Detail      string        `json:"detail"`
	Form        privkey.Form  `json:"form,omitempty"`
	State       privkey.State `json:"state,omitempty"`
	Mode        string        `json:"mode,omitempty"` // octal
	Type        string        `json:"key_type,omitempty"`
	Bits        int           `json:"key_bits,omitempty"`
	Fingerprint string        `json:"fingerprint,omitempty"` // of the public half
	Comment     string        `json:"comment,omitempty"`
	Cluster     Mark          `json:"cluster,omitempty"`
	Holders     []string      `json:"registered_to,omitempty"`
}

func privatesOf(list []PrivateFinding) []jsonPrivate {
	out := []jsonPrivate{}
	for _, f := range list {
		j := jsonPrivate{
			User: plain.Text(f.User), Path: plain.Text(f.Path), Code: f.Code, Detail: plain.Text(f.Detail()), Form: f.Form, State: f.State,
			Comment: plain.Cut(f.Comment, foreignBound), Cluster: f.Mark,
		}
		if f.Blind == "" {
			j.Mode = fmt.Sprintf("%04o", f.Mode)
		}
		if !f.Public.IsZero() {
			j.Type, j.Bits, j.Fingerprint = f.Public.Type(), f.Public.Bits(), f.Public.Fingerprint()
		}
		for _, name := range f.Holders {
			j.Holders = append(j.Holders, plain.Text(name))
		}
		out = append(out, j)
	}
	return out
}

// private prints a row for each private key of an account.
func (s *sheet) private() {
	for _, f := range s.r.privates(s.result) {
		line := authkeys.Line{Key: f.Public, Comment: f.Comment}
		s.row(csvLine{path: f.Path, state: string(f.State), action: actionPrivate, reason: string(f.Code), detail: f.Detail(), line: line})
	}
}

// privateOf lists private keys, not too many of one person's.
func privateOf(d Digest) htmlTable {
	t := htmlTable{
		ID: "private", Title: "Private keys in homes", Heads: []string{"User", "File", "What", "Detail", "Public half"},
		Lead: "Whoever can read one without a passphrase can log in with it. What could not be looked at may hold one.",
	}
	for _, list := range d.privatePeople() {
		for _, f := range list[:min(len(list), privateEach)] {
			t.Rows = append(t.Rows, []string{plain.Text(f.User), plain.Text(f.Path), string(f.Code), plain.Text(f.Detail()), printOf(f.Public)})
		}
		if more := len(list) - privateEach; more > 0 {
			t.Rows = append(t.Rows, []string{plain.Text(list[0].User), "", "", "and " + number(more) + " more", ""})
		}
	}
	return t
}

// printOf names a public half, if there is one.
func printOf(k authkeys.Key) string {
	if k.IsZero() {
		return ""
	}
	return k.Fingerprint() + " " + kindOf(k)
}

// private is the row of one private key.
func (h htmlRow) private(f PrivateFinding) htmlRow {
	h.Action, h.Path, h.Reason, h.Detail, h.Comment = actionPrivate, plain.Text(f.Path), policy.Reason(f.Code), plain.Text(f.Detail()), plain.Cut(f.Comment, foreignBound)
	if !f.Public.IsZero() {
		h.Key, h.Fingerprint = kindOf(f.Public), f.Public.Fingerprint()
	}
	return h
}
