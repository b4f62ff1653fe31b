package report

import (
	"encoding/json"
	"io"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/plain"
	"github.com/keyreeve/keyreeve/policy"
)

// formatVersion grows when a field changes its meaning; fields that are added do not change it.
const formatVersion = 1

type jsonReport struct {
	Version  int          `json:"version"`
	Host     string       `json:"host,omitempty"`
	Made     *time.Time   `json:"made,omitempty"`
	Applied  bool         `json:"applied"`
	Registry jsonRegistry `json:"registry"`
	Policy   string       `json:"policy"`
	WhatIf   *jsonWhatIf  `json:"what_if,omitempty"`
	Summary  Counts       `json:"summary"`
	Digest   jsonDigest   `json:"digest"`
	Accounts []jsonUser   `json:"accounts"`
	Denied   []jsonDenied `json:"registered_but_refused"`
	Soon     []jsonPerson `json:"refused_soon"`
	Rejected []jsonReject `json:"registry_values_rejected"`
	Remarked []jsonReject `json:"registry_values_remarked"`
	Shared   []jsonShared `json:"registry_keys_shared"`
	Skipped  []jsonSkip   `json:"left_alone"`

	Exceptions []jsonException `json:"exceptions"`
	Brake      jsonBrake       `json:"brake"`
	Searched   []string        `json:"private_keys_searched"` // directories below each home
}

type jsonRegistry struct {
	Source string `json:"source"`
	Users  int    `json:"users"`
	Keys   int    `json:"keys"`
	Held   string `json:"held,omitempty"` // what a later reading has lost, which is held
}

type jsonBrake struct {
	On     bool       `json:"on"`
	Since  *time.Time `json:"since,omitempty"`
	People []string   `json:"people"` // who tripped it
	Trips  []string   `json:"trips"`  // who would trip it
}

func brakeOf(r Report) jsonBrake {
	s := r.Brake
	b := jsonBrake{On: s.On(), People: []string{}, Trips: []string{}}
	for _, user := range r.Trips {
		b.Trips = append(b.Trips, plain.Text(user))
	}
	if b.On {
		since := s.Tripped.UTC()
		b.Since = &since
	}
	for _, user := range s.People {
		b.People = append(b.People, plain.Text(user))
	}
	return b
}

type jsonUser struct {
	User    string     `json:"user"`
	UID     int        `json:"uid"`
	Home    string     `json:"home"`
	Mail    string     `json:"mail,omitempty"`
	Mode    string     `json:"mode"`
	State   HomeState  `json:"state"`
	Granted int        `json:"granted"` // keys that work for the user, in his files or not
	NoHome  bool       `json:"no_home,omitempty"`
	Left    *time.Time `json:"left_registry,omitempty"`
	Errors  []string   `json:"errors,omitempty"`
	Files   []jsonFile `json:"files"`
	Unkept  []jsonOdd  `json:"unkept,omitempty"` // files that sshd may read beside those
}

type jsonOdd struct {
	Path string `json:"path"` // as sshd's configuration has it
	Why  string `json:"why"`
}

type jsonFile struct {
	Path       string     `json:"path"`
	State      string     `json:"state"`
	Change     bool       `json:"change"`
	Reason     string     `json:"reason,omitempty"` // of a change of the whole file
	Detail     string     `json:"detail,omitempty"`
	Unresolved string     `json:"unresolved,omitempty"`
	Remark     string     `json:"remark,omitempty"`
	Lines      []jsonLine `json:"lines"`
	Content    *string    `json:"content,omitempty"` // after the change
}

type jsonLine struct {
	Line        int        `json:"line,omitempty"` // 0: not in the file yet
	Action      string     `json:"action"`         // keep, rewrite, remove, add
	Reason      string     `json:"reason"`
	Warning     string     `json:"warning,omitempty"` // refused-soon
	Detail      string     `json:"detail,omitempty"`
	Type        string     `json:"key_type,omitempty"`
	Bits        int        `json:"key_bits,omitempty"`
	Fingerprint string     `json:"fingerprint,omitempty"`
	Options     string     `json:"options,omitempty"`
	Comment     string     `json:"comment,omitempty"`
	Cluster     Mark       `json:"cluster,omitempty"` // by what it is known as a key of the cluster itself
	Since       *time.Time `json:"registered_since,omitempty"`
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
	Code   string `json:"code"` // docs/registry.md
	Origin string `json:"origin"`
	Detail string `json:"detail"`
}

type jsonShared struct {
	Fingerprint string   `json:"fingerprint"`
	Users       []string `json:"users"`
}

type jsonSkip struct {
	User string `json:"user"`
	Why  string `json:"why"`
}

type jsonException struct {
	ID          string    `json:"id"`
	User        string    `json:"user"`
	Type        string    `json:"key_type"`
	Bits        int       `json:"key_bits"`
	Fingerprint string    `json:"fingerprint"`
	Options     string    `json:"options,omitempty"`
	Owner       string    `json:"owner"`
	Reason      string    `json:"reason"`
	Since       time.Time `json:"since"`
	Until       time.Time `json:"until"`
	Copy        string    `json:"copy"`
	InForce     bool      `json:"in_force"`
	Idle        string    `json:"idle,omitempty"` // why it grants nothing
}

func exceptionOf(e policy.Excepted) jsonException {
	return jsonException{
		ID: plain.Text(e.ID), User: plain.Text(e.User), Type: e.Key.Type(), Bits: e.Key.Bits(), Fingerprint: e.Key.Fingerprint(),
		Options: plain.Cut(e.Options.String(), foreignBound), Owner: plain.Text(e.Owner), Reason: plain.Text(e.Reason),
		Since: e.Since.UTC(), Until: e.Until.UTC(), Copy: plain.Text(e.Copy), InForce: e.Idle == "", Idle: plain.Text(e.Idle),
	}
}

// JSON prints a report as one JSON object in ASCII. Foreign text is escaped as in a Go string, but for content, which is the
// exact text that the file is to have.
func JSON(w io.Writer, r Report) error {
	out := jsonReport{
		Version: formatVersion, Host: plain.Text(r.Host), Made: instant(r.Made), Applied: r.Applied, Digest: digestOf(r.Digest()),
		Registry: jsonRegistry{Source: plain.Text(r.Source), Users: r.Users, Keys: r.Keys, Held: plain.Text(r.Held)},
		Policy:   r.Policy, WhatIf: whatIfOf(r.WhatIf), Soon: peopleOf(r.Soon), Summary: r.Count(),
		Accounts: []jsonUser{}, Denied: []jsonDenied{}, Rejected: rejectsOf(r.Rejects), Remarked: rejectsOf(r.Remarks),
		Searched: append([]string{}, r.PrivateDirs...), Shared: []jsonShared{}, Skipped: []jsonSkip{}, Exceptions: []jsonException{}, Brake: brakeOf(r),
	}
	for _, result := range r.Results {
		user := r.userOf(result)
		r.warn(result, &user)
		user.Mail = plain.Text(r.Mail[result.Account.Name])
		out.Accounts = append(out.Accounts, user)
	}
	for _, d := range r.Denied {
		out.Denied = append(out.Denied, jsonDeniedOf(d))
	}
	for _, shared := range r.Shared {
		names := make([]string, len(shared.Users))
		for i, name := range shared.Users {
			names[i] = plain.Text(name)
		}
		out.Shared = append(out.Shared, jsonShared{shared.Key.Fingerprint(), names})
	}
	for _, s := range r.Skips {
		out.Skipped = append(out.Skipped, jsonSkip{plain.Text(s.User), plain.Text(s.Why)})
	}
	for _, e := range r.Exceptions {
		out.Exceptions = append(out.Exceptions, exceptionOf(e))
	}
	return writeJSON(w, out)
}

// writeJSON prints a document in ASCII.
func writeJSON(w io.Writer, document any) error {
	text, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return err
	}
	_, err = w.Write(append(plain.JSON(text), '\n'))
	return err
}

func jsonDeniedOf(d Denied) jsonDenied {
	return jsonDenied{plain.Text(d.User), string(d.Reason), plain.Text(d.Detail), d.Key.Fingerprint(), plain.Text(d.Origin)}
}

func rejectsOf(list []Reject) []jsonReject {
	out := []jsonReject{}
	for _, j := range list {
		out = append(out, jsonReject{plain.Text(j.User), j.Code, plain.Text(j.Origin), plain.Text(j.Detail)})
	}
	return out
}

func (r Report) userOf(result enforcer.Result) jsonUser {
	a := result.Account
	u := jsonUser{
		User: plain.Text(a.Name), UID: a.UID, Home: plain.Text(a.Home), Mode: r.Modes[a.Name], State: r.stateOf(result), Granted: r.Granted[a.Name],
		NoHome: result.NoHome, Left: instant(r.Departed[a.Name]), Files: []jsonFile{},
	}
	if result.Err != nil {
		for line := range strings.SplitSeq(result.Err.Error(), "\n") {
			u.Errors = append(u.Errors, plain.Text(line))
		}
	}
	for _, p := range result.Plans {
		u.Files = append(u.Files, r.fileOf(p))
	}
	for _, odd := range result.Unkept {
		u.Unkept = append(u.Unkept, jsonOdd{plain.Text(odd.Path), plain.Text(odd.Why)})
	}
	return u
}

func (r Report) fileOf(p enforcer.Plan) jsonFile {
	f := jsonFile{
		Path: plain.Text(p.Path()), State: p.State.String(), Change: p.Change, Reason: string(p.Whole.Reason),
		Detail: plain.Text(p.Whole.Detail), Unresolved: plain.Text(p.Unresolved), Remark: plain.Text(p.Remark), Lines: []jsonLine{},
	}
	for _, d := range decisions(p) {
		l := lineOf(d.Line, d.action, string(d.Reason), d.Detail)
		l.Cluster, l.Since = markOf(p.Account.Name, r.Host, d.Line.Comment), instant(r.Seen[Holding{p.Account.Name, d.Line.Key}])
		f.Lines = append(f.Lines, l)
	}
	for _, g := range p.Add {
		f.Lines = append(f.Lines, lineOf(g.Line(), "add", "granted", ""))
	}
	if p.Change {
		content := string(p.After)
		f.Content = &content
	}
	return f
}

func lineOf(line authkeys.Line, action, reason, detail string) jsonLine {
	l := jsonLine{Line: line.N, Action: action, Reason: reason, Detail: plain.Text(detail), Comment: plain.Cut(line.Comment, foreignBound)}
	if !line.Key.IsZero() {
		l.Type, l.Bits, l.Fingerprint = line.Key.Type(), line.Key.Bits(), line.Key.Fingerprint()
		l.Options = plain.Cut(line.Options.String(), foreignBound)
	}
	return l
}
