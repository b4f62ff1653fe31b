package main

import (
	"bufio"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/config"
	"github.com/keyreeve/keyreeve/internal/plain"
	"github.com/keyreeve/keyreeve/ldapsource"
)

// document is what explain --login prints. Version grows when a field changes its meaning.
type document struct {
	Version int    `json:"version"`
	Asked   string `json:"login"` // the fingerprint
	// Found says that somebody has the key now, by the registry or by an exception that is in force.
	Found   bool             `json:"found"`
	Reading explainedReading `json:"registry"`
	Users   []explained      `json:"users"`
	Trail   []trailDocument  `json:"audit"`
	// TrailError is why the audit trail is not, or not all of it, here.
	TrailError string   `json:"audit_error,omitempty"`
	Notes      []string `json:"notes"`
}

// explainedReading is the reading that counts: the registry as it is, or the last good one.
type explainedReading struct {
	Source string    `json:"source"`
	Read   time.Time `json:"read"`
	Live   bool      `json:"live"`
	Error  string    `json:"error,omitempty"` // why the registry could not be read
	Held   string    `json:"held,omitempty"`  // what a later reading has lost, which is held
}

// explained is one key of one user.
type explained struct {
	User        string `json:"user"`
	UID         int    `json:"uid"` // -1: not known
	Type        string `json:"key_type"`
	Bits        int    `json:"key_bits"`
	Fingerprint string `json:"fingerprint"`
	Reason      string `json:"reason"` // of the policy's verdict now, as in plan
	Detail      string `json:"detail,omitempty"`
	// Ends says when, and why, a key that works will be refused, since a rule ends, however late that is.
	Ends        string          `json:"ends,omitempty"`
	RefusedFrom *time.Time      `json:"refused_from,omitempty"`
	LeftAlone   string          `json:"left_alone,omitempty"`
	Records     []keyDocument   `json:"registrations"` // empty: it is not registered now
	Entries     []entryDocument `json:"entries"`
	// EntriesError is why there are none.
	EntriesError string `json:"entries_error,omitempty"`
	// FirstSeen and GoneSince are when the first reading was in which the key counted, and the first one in which it did not any more;
	// Left that without the user.
	FirstSeen  *time.Time         `json:"first_seen"`
	GoneSince  *time.Time         `json:"gone_since"`
	Left       *time.Time         `json:"left_registry,omitempty"`
	Exceptions []exceptedDocument `json:"exceptions"`
}

// entryDocument is an entry of the registry, and who wrote it.
type entryDocument struct {
	DN         string     `json:"dn"`
	Attribute  string     `json:"attribute"` // that holds keys
	File       string     `json:"file,omitempty"`
	Line       int        `json:"line,omitempty"` // where the entry begins in it
	CreatedBy  string     `json:"created_by,omitempty"`
	Created    *time.Time `json:"created"`
	ModifiedBy string     `json:"modified_by,omitempty"`
	Modified   *time.Time `json:"modified"`
	Unknown    string     `json:"unknown,omitempty"` // why those are not here
}

type exceptedDocument struct {
	ID      string    `json:"id"`
	Owner   string    `json:"owner"`
	Reason  string    `json:"reason"`
	Since   time.Time `json:"since"`
	Until   time.Time `json:"until"`
	InForce bool      `json:"in_force"`
	Idle    string    `json:"idle,omitempty"` // why it grants nothing
}

// trailDocument is a record of the audit trail.
type trailDocument struct {
	Time       time.Time `json:"time"`
	Sequence   uint64    `json:"sequence"`
	Action     string    `json:"action"`
	Outcome    string    `json:"outcome"`
	Reason     string    `json:"reason,omitempty"`
	Host       string    `json:"host"`
	User       string    `json:"user"`
	File       string    `json:"file,omitempty"`
	Message    string    `json:"message,omitempty"`
	Quarantine string    `json:"quarantine,omitempty"`
	Address    string    `json:"address,omitempty"`
}

func describeFound(r audit.Found) trailDocument {
	return trailDocument{
		Time: r.Time.UTC(), Sequence: r.Sequence, Action: r.Action, Outcome: r.Outcome, Reason: r.Reason, Host: r.Host, User: r.User,
		File: r.File, Message: r.Message, Quarantine: r.Quarantine, Address: r.Source,
	}
}

// place adds the entries that the key is registered in, or, where it is in none, those that have the user's name: who took it out has
// written there. Unknown says why nothing is known of who wrote.
func (u *explained) place(places []ldapsource.Place, r config.Registry, unknown string) {
	attribute, file := r.LDAP.Schema.Key, ""
	if r.Source == config.LDIFSource {
		attribute, file = r.LDIF.Attributes.Key, r.LDIF.Path
	}
	for _, p := range places {
		of := func(k keyDocument) bool { return p.Is(k.Origin) }
		if !slices.Contains(p.Users, u.User) || len(u.Records) > 0 && !slices.ContainsFunc(u.Records, of) {
			continue
		}
		e := entryDocument{
			DN: p.DN, Attribute: attribute, File: file, Line: p.Line,
			CreatedBy: p.Creator, Created: bound(p.Created), ModifiedBy: p.Modifier, Modified: bound(p.Modified),
		}
		if p.Silent() {
			e.Unknown = "the registry does not say who wrote the entry, or not to this reader"
		}
		u.Entries = append(u.Entries, e)
	}
	for _, k := range u.Records {
		if !slices.ContainsFunc(u.Entries, func(e entryDocument) bool { return ldapsource.Place{DN: e.DN}.Is(k.Origin) }) {
			u.Entries = append(u.Entries, entryDocument{DN: k.Origin, Attribute: attribute, File: file, Unknown: cmp.Or(unknown, "the entry is not there any more")})
		}
	}
	if len(u.Entries) == 0 {
		u.EntriesError = cmp.Or(unknown, "the registry has no entry with that name")
	}
}

// foreign is text of others for a terminal, not more of it than a line or two.
func foreign(text string) string { return plain.Cut(text, 512) }

func (d document) text(out *bufio.Writer) {
	registered := 0
	for _, u := range d.Users {
		if len(u.Records) > 0 {
			registered++
		}
	}
	what := fmt.Sprintf("is registered to %d users", registered)
	switch {
	case registered == 1:
		what = "is registered"
	case registered == 0 && d.Found:
		what = "is registered to nobody; an exception lets it in"
	case registered == 0 && len(d.Users) > 0:
		what = "is registered to nobody now"
	case registered == 0:
		what = "was never registered to anybody, as far as is remembered"
	}
	fmt.Fprintf(out, "%s %s\n", d.Asked, what)
	d.Reading.text(out)
	for _, note := range d.Notes {
		fmt.Fprintf(out, "note        %s\n", foreign(note))
	}
	for _, u := range d.Users {
		fmt.Fprintf(out, "\n%s  uid %d\n", foreign(u.User), u.UID)
		u.text(out)
	}
	if len(d.Trail) > 0 || d.TrailError != "" {
		fmt.Fprintln(out, "\naudit trail")
	}
	if d.TrailError != "" {
		fmt.Fprintf(out, "    it could not be read: %s\n", foreign(d.TrailError))
	}
	for _, r := range d.Trail {
		words := []string{r.Time.Format(time.RFC3339), r.Action, r.Outcome, r.Reason, foreign(r.User), foreign(cmp.Or(r.File, r.Address))}
		fmt.Fprintf(out, "    %s\n", strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), "  "))
	}
}

func (r explainedReading) text(out *bufio.Writer) {
	fmt.Fprintf(out, "registry    %s, read %s\n", foreign(r.Source), r.Read.Format(time.RFC3339))
	if !r.Live {
		fmt.Fprintln(out, "            that is the last good reading, which counts")
	}
	for line := range strings.Lines(r.Error) {
		fmt.Fprintf(out, "            now: %s\n", foreign(strings.TrimSuffix(line, "\n")))
	}
	if r.Held != "" {
		fmt.Fprintf(out, "            a later one is held: %s\n", foreign(r.Held))
	}
}

func (u explained) text(out *bufio.Writer) {
	row := func(what, format string, args ...any) {
		fmt.Fprintf(out, "    %-11s %s\n", what, fmt.Sprintf(format, args...))
	}
	row("key", "%s %d  %s", foreign(u.Type), u.Bits, u.Fingerprint)
	row("verdict", "%s%s", u.Reason, after(u.Detail))
	if u.Ends != "" {
		row("it ends", "%s", u.Ends)
	}
	if u.LeftAlone != "" {
		row("left alone", "%s", foreign(u.LeftAlone))
	}
	for _, k := range u.Records {
		row("registered", "%s", foreign(cmp.Or(k.Label, "without a comment")))
		if k.Options != "" {
			row("  options", "%s", foreign(k.Options))
		}
		if k.NotBefore != nil {
			row("  from", "%s", k.NotBefore.Format(time.RFC3339))
		}
		if k.NotAfter != nil {
			row("  until", "%s", k.NotAfter.Format(time.RFC3339))
		}
	}
	for _, e := range u.Entries {
		e.text(row)
	}
	for line := range strings.Lines(u.EntriesError) {
		row("entry", "%s", foreign(strings.TrimSuffix(line, "\n")))
	}
	u.seen(row)
	for _, x := range u.Exceptions {
		state := "in force"
		if !x.InForce {
			state = foreign(x.Idle)
		}
		row("exception", "%s  by %s until %s (%s): %s", foreign(x.ID), foreign(x.Owner), x.Until.Format(time.RFC3339), state, foreign(x.Reason))
	}
}

// seen says since when, and until when, the key is known.
func (u explained) seen(row func(string, string, ...any)) {
	switch {
	case u.FirstSeen != nil:
		row("first seen", "%s", u.FirstSeen.Format(time.RFC3339))
	case len(u.Records) > 0 && u.GoneSince == nil, u.GoneSince != nil:
		row("first seen", "not known")
	}
	if u.GoneSince != nil {
		row("gone since", "%s", u.GoneSince.Format(time.RFC3339))
	}
	if u.Left != nil {
		row("user left", "%s", u.Left.Format(time.RFC3339))
	}
}

func (e entryDocument) text(row func(string, string, ...any)) {
	where := ""
	if e.File != "" {
		where = "  " + foreign(e.File)
		if e.Line > 0 {
			where += fmt.Sprintf(":%d", e.Line)
		}
	}
	row("entry", "%s  %s%s", foreign(e.DN), foreign(e.Attribute), where)
	for _, w := range []struct {
		what, by string
		at       *time.Time
	}{{"  created", e.CreatedBy, e.Created}, {"  changed", e.ModifiedBy, e.Modified}} {
		switch {
		case w.at != nil && w.by != "":
			row(w.what, "%s  by %s", w.at.Format(time.RFC3339), foreign(w.by))
		case w.at != nil:
			row(w.what, "%s", w.at.Format(time.RFC3339))
		case w.by != "":
			row(w.what, "by %s", foreign(w.by))
		}
	}
	for line := range strings.Lines(e.Unknown) {
		row("", "%s", foreign(strings.TrimSuffix(line, "\n")))
	}
}

// after is a detail behind a code.
func after(detail string) string {
	if detail == "" {
		return ""
	}
	return ": " + foreign(detail)
}
