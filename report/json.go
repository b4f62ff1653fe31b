package report

import (
	"encoding/json"
	"io"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/enforcer"
)

// formatVersion grows when a field changes its meaning; fields that are added do not change it.
const formatVersion = 1

type jsonReport struct {
	Version  int          `json:"version"`
	Registry jsonRegistry `json:"registry"`
	Policy   string       `json:"policy"`
	Summary  Counts       `json:"summary"`
	Accounts []jsonUser   `json:"accounts"`
	Denied   []jsonDenied `json:"registered_but_refused"`
	Rejected []jsonReject `json:"registry_values_rejected"`
	Skipped  []jsonSkip   `json:"left_alone"`
}

type jsonRegistry struct {
	Source string `json:"source"`
	Users  int    `json:"users"`
	Keys   int    `json:"keys"`
}

type jsonUser struct {
	User   string     `json:"user"`
	UID    int        `json:"uid"`
	Home   string     `json:"home"`
	NoHome bool       `json:"no_home,omitempty"`
	Errors []string   `json:"errors,omitempty"`
	Files  []jsonFile `json:"files"`
}

type jsonFile struct {
	Path       string     `json:"path"`
	State      string     `json:"state"`
	Change     bool       `json:"change"`
	Reason     string     `json:"reason,omitempty"` // of a change of the whole file
	Detail     string     `json:"detail,omitempty"`
	Unresolved string     `json:"unresolved,omitempty"`
	Lines      []jsonLine `json:"lines"`
	Content    *string    `json:"content,omitempty"` // after the change
}

type jsonLine struct {
	Line        int    `json:"line,omitempty"` // 0: not in the file yet
	Action      string `json:"action"`         // keep, rewrite, remove, add
	Reason      string `json:"reason"`
	Detail      string `json:"detail,omitempty"`
	Type        string `json:"key_type,omitempty"`
	Bits        int    `json:"key_bits,omitempty"`
	Fingerprint string `json:"fingerprint,omitempty"`
	Options     string `json:"options,omitempty"`
	Comment     string `json:"comment,omitempty"`
}

type jsonDenied struct {
	User        string `json:"user"`
	Reason      string `json:"reason"`
	Detail      string `json:"detail"`
	Fingerprint string `json:"fingerprint"`
	Origin      string `json:"origin,omitempty"`
}

type jsonReject struct {
	User   string `json:"user"`
	Origin string `json:"origin"`
	Detail string `json:"detail"`
}

type jsonSkip struct {
	User string `json:"user"`
	Why  string `json:"why"`
}

// JSON prints a report as one JSON object. All strings are ASCII; foreign text is escaped as in a Go string.
func JSON(w io.Writer, r Report) error {
	out := jsonReport{
		Version:  formatVersion,
		Registry: jsonRegistry{Source: ascii(r.Source), Users: r.Users, Keys: r.Keys},
		Policy:   r.Policy, Summary: r.Count(),
		Accounts: []jsonUser{}, Denied: []jsonDenied{}, Rejected: []jsonReject{}, Skipped: []jsonSkip{},
	}
	for _, result := range r.Results {
		out.Accounts = append(out.Accounts, userOf(result))
	}
	for _, d := range r.Denied {
		out.Denied = append(out.Denied, jsonDenied{d.User, string(d.Reason), ascii(d.Detail), d.Key.Fingerprint(), ascii(d.Origin)})
	}
	for _, j := range r.Rejects {
		out.Rejected = append(out.Rejected, jsonReject{ascii(j.User), ascii(j.Origin), ascii(j.Detail)})
	}
	for _, s := range r.Skips {
		out.Skipped = append(out.Skipped, jsonSkip{ascii(s.User), ascii(s.Why)})
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(out)
}

func userOf(result enforcer.Result) jsonUser {
	a := result.Account
	u := jsonUser{User: ascii(a.Name), UID: a.UID, Home: ascii(a.Home), NoHome: result.NoHome, Files: []jsonFile{}}
	if result.Err != nil {
		for line := range strings.SplitSeq(result.Err.Error(), "\n") {
			u.Errors = append(u.Errors, ascii(line))
		}
	}
	for _, p := range result.Plans {
		u.Files = append(u.Files, fileOf(p))
	}
	return u
}

func fileOf(p enforcer.Plan) jsonFile {
	f := jsonFile{
		Path: ascii(path(p)), State: p.State.String(), Change: p.Change, Reason: string(p.Whole.Reason),
		Detail: ascii(p.Whole.Detail), Unresolved: ascii(p.Unresolved), Lines: []jsonLine{},
	}
	for action, part := range map[string][]enforcer.Decision{"keep": p.Keep, "rewrite": p.Rewrite, "remove": p.Remove} {
		for _, d := range part {
			f.Lines = append(f.Lines, lineOf(d.Line, action, string(d.Reason), d.Detail))
		}
	}
	slices.SortFunc(f.Lines, func(a, b jsonLine) int { return a.Line - b.Line })
	for _, g := range p.Add {
		f.Lines = append(f.Lines, lineOf(g.Line(), "add", "granted", ""))
	}
	if p.Change {
		content := ascii(string(p.After))
		f.Content = &content
	}
	return f
}

func lineOf(line authkeys.Line, action, reason, detail string) jsonLine {
	l := jsonLine{Line: line.N, Action: action, Reason: reason, Detail: ascii(detail), Comment: foreign(line.Comment)}
	if !line.Key.IsZero() {
		l.Type, l.Bits, l.Fingerprint = line.Key.Type(), line.Key.Bits(), line.Key.Fingerprint()
		l.Options = foreign(line.Options.String())
	}
	return l
}
