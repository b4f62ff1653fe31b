package report_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/policy"
	"github.com/keyreeve/keyreeve/registry"
	"github.com/keyreeve/keyreeve/report"
)

// The keys A and B of the vectors.
const (
	lineA = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHnxoe+mmuhR7yxmTmqCw1YYMfdhbsay07eRJlF1T1ve"
	lineB = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIF/mOT2dE99uYPAVIKz6rTw6OyI7MT/39JTmbBdleO+P"
	// evil is a comment that would clear a terminal, turn the text around and forge a line.
	evil = " \x1b[2Jme\u202e\u009b0;\"quoted\""
)

func example(t *testing.T) report.Report {
	t.Helper()
	line, err := authkeys.ParseValue([]byte(lineA))
	if err != nil {
		t.Fatal(err)
	}
	snapshot, err := registry.New([]registry.User{{
		Name: "alice", UID: 2001, GID: 2001, Home: "/home/alice", Records: []registry.Record{{Key: line.Key, Label: "lab"}},
	}}, "ldaps://one")
	if err != nil {
		t.Fatal(err)
	}
	rules, err := policy.Compile(policy.DefaultRules())
	if err != nil {
		t.Fatal(err)
	}
	grants := rules.Evaluate(snapshot, time.Now())
	plan := func(name, file, text string, state homes.State) enforcer.Plan {
		return enforcer.MakePlan(enforcer.Input{
			Account: homes.Account{Name: name, UID: 2001, GID: 2001, Home: "/home/" + name}, Name: file, Grants: grants,
			File: homes.File{State: state, Data: []byte(text), Tidy: true, Detail: "a FIFO"},
		})
	}
	odd := []homes.Unkept{{Path: "/keys/a\nll", Why: "one for all"}}
	alice := plan("alice", ".ssh/authorized_keys", "# x\n"+lineB+evil+"\n"+lineA+"\r\nno key\x1b[2J\n", homes.Regular)
	eve := plan("eve", ".ssh/authorized_keys", "# clean\n", homes.Regular)
	eve.Remark = "others may write"
	began := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	return report.Report{
		Source: "ldaps://one", Policy: rules.String(), Users: 1, Keys: 1,
		Results: []enforcer.Result{
			{Account: alice.Account, Plans: []enforcer.Plan{alice, plan("alice", ".ssh/authorized_keys2", "", homes.Symlink)}},
			{Account: homes.Account{Name: "bob", UID: 2002, Home: "/home/bob"}, Plans: []enforcer.Plan{plan("bob", ".ssh/authorized_keys", "", homes.Irregular)}},
			{Account: homes.Account{Name: "carol", UID: 2003, Home: "/home/carol"}, Err: errors.New("read: input/output error\nforged: line\x1b")},
			{Account: homes.Account{Name: "dan", UID: 2004, Home: "/home/dan"}, NoHome: true, Unkept: odd},
			{Account: homes.Account{Name: "eve", UID: 2005, Home: "/home/eve"}, Unkept: odd, Plans: []enforcer.Plan{eve}},
		},
		Modes:   map[string]string{"alice": "enforce", "bob": "enforce", "carol": "enforce", "dan": "enforce", "eve": "report"},
		Skips:   []enforcer.Skip{{User: "-x\n", Why: "not a plain login name"}},
		Rejects: []report.Reject{{User: "alice", Reject: registry.Reject{Origin: "uid=alice\x1b", Code: "unparsable", Detail: "no key"}}},
		Remarks: []report.Reject{{User: "alice", Reject: registry.Reject{Origin: "uid=alice", Code: "crlf", Detail: strings.Repeat("a long word of ", 6) + "\x1b"}}},
		Shared:  []registry.Shared{{Key: line.Key, Users: []string{"alice", "b\nob"}}},
		Exceptions: []policy.Excepted{
			{Exception: policy.Exception{ID: "E1", User: "alice", Key: line.Key, Owner: "root", Reason: "PC \u202e7", Since: began, Until: began.AddDate(0, 1, 0), Copy: "C1"}},
			{Exception: policy.Exception{ID: "E2", User: "bob", Key: line.Key, Owner: "root", Reason: "x", Since: began, Until: began, Copy: "C2"}, Idle: "ended"},
		},
		Denied: []report.Denied{
			{User: "al\u202eice", Denial: policy.Denial{Key: line.Key, Verdict: policy.Verdict{Reason: policy.ReasonWeak, Detail: "weak"}}},
			{User: "bob", Denial: policy.Denial{Key: line.Key, Verdict: policy.Verdict{Reason: policy.ReasonAccountElsewhere}}},
			{User: "bob", Denial: policy.Denial{Key: line.Key, Verdict: policy.Verdict{Reason: policy.ReasonAccountElsewhere}}},
		},
	}
}

func TestText(t *testing.T) {
	r := example(t)
	var out bytes.Buffer
	if err := report.Text(&out, r, false); err != nil {
		t.Fatal(err)
	}
	onlyASCII(t, out.String())
	golden(t, "plan.txt", out.String())
}

func TestJSON(t *testing.T) {
	r := example(t)
	var out, again bytes.Buffer
	if err := report.JSON(&out, r); err != nil {
		t.Fatal(err)
	}
	onlyASCII(t, out.String())
	if err := report.JSON(&again, r); err != nil || !bytes.Equal(out.Bytes(), again.Bytes()) {
		t.Errorf("one report gave two texts (%v)", err)
	}
	type value struct {
		Code   string `json:"code"`
		Origin string `json:"origin"`
	}
	var got struct {
		Version  int           `json:"version"`
		Summary  report.Counts `json:"summary"`
		Denied   []struct{}    `json:"registered_but_refused"`
		Rejected []value       `json:"registry_values_rejected"`
		Remarked []value       `json:"registry_values_remarked"`
		Shared   []struct {
			Print string   `json:"fingerprint"`
			Users []string `json:"users"`
		} `json:"registry_keys_shared"`
		Exceptions []struct {
			User    string    `json:"user"`
			Owner   string    `json:"owner"`
			Reason  string    `json:"reason"`
			Until   time.Time `json:"until"`
			Print   string    `json:"fingerprint"`
			InForce bool      `json:"in_force"`
		} `json:"exceptions"`
		Accounts []struct {
			NoHome bool     `json:"no_home"`
			Errors []string `json:"errors"`
			Unkept []struct {
				Path string `json:"path"`
				Why  string `json:"why"`
			} `json:"unkept"`
			Files []struct {
				State      string `json:"state"`
				Unresolved string `json:"unresolved"`
				Remark     string `json:"remark"`
				Content    string `json:"content"`
				Change     bool   `json:"change"`
				Lines      []struct {
					Line   int    `json:"line"`
					Action string `json:"action"`
					Reason string `json:"reason"`
				} `json:"lines"`
			} `json:"files"`
		} `json:"accounts"`
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if j, m, k := got.Rejected, got.Remarked, got.Shared; len(j) != 1 || j[0].Code != "unparsable" || j[0].Origin != `uid=alice\x1b` ||
		len(m) != 1 || m[0].Code != "crlf" || len(k) != 1 || len(k[0].Users) != 2 || k[0].Print == "" || len(got.Denied) != 3 {
		t.Errorf("rejected %+v, remarked %+v, shared %+v, denied %+v", j, m, k, got.Denied)
	}
	wantCounts := report.Counts{Accounts: 5, Pending: 1, Remove: 2, Rewrite: 1, Add: 1, Unresolved: 1, Unkept: 1, Errors: 1, Skipped: 1, Modes: map[string]int{"report": 1, "enforce": 4}}
	if diff := cmp.Diff(wantCounts, got.Summary); diff != "" || got.Version != 1 {
		t.Errorf("version %d, summary: %s", got.Version, diff)
	}
	if e := got.Exceptions; len(e) != 2 || !e[0].InForce || e[1].InForce || e[0].User != "alice" || e[0].Owner != "root" ||
		e[0].Reason != `PC \u202e7` || e[0].Until.Month() != time.December || e[0].Print == "" {
		t.Errorf("exceptions %+v", got.Exceptions)
	}
	file := got.Accounts[0].Files[0]
	var lines []string
	for i, line := range file.Lines {
		if line.Line != i+1 {
			t.Errorf("line %d stands at %d", line.Line, i)
		}
		lines = append(lines, line.Action+" "+line.Reason)
	}
	if diff := cmp.Diff([]string{"keep granted", "remove unregistered", "rewrite form", "remove no-key"}, lines); diff != "" {
		t.Error(diff)
	}
	if file.Content != "# x\n"+lineA+"\n" || !file.Change || file.State != "regular" {
		t.Errorf("file %+v", file)
	}
	if odd := got.Accounts[4].Unkept; len(odd) != 1 || odd[0].Path != `/keys/a\nll` || odd[0].Why != "one for all" || len(got.Accounts[0].Unkept) != 0 {
		t.Errorf("not kept: %+v", odd)
	}
	if got.Accounts[4].Files[0].Remark != "others may write" || got.Accounts[1].Files[0].Unresolved != "a FIFO" || len(got.Accounts[2].Errors) != 2 || !got.Accounts[3].NoHome {
		t.Errorf("accounts %+v", got.Accounts[1:])
	}
}

// A report of what was done does not count what was not.
func TestApplied(t *testing.T) {
	r := example(t)
	r.Applied = true
	r.Results[0].Plans[1].Done = true
	want := report.Counts{Accounts: 5, Pending: 1, Add: 1, Unresolved: 1, Unkept: 1, Errors: 1, Skipped: 1, Modes: map[string]int{"report": 1, "enforce": 4}}
	if diff := cmp.Diff(want, r.Count()); diff != "" {
		t.Error(diff)
	}
	var out bytes.Buffer
	if err := report.Text(&out, r, false); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		"alice  /home/alice/.ssh/authorized_keys\n  ! not carried out; the error stands above\n  - unregistered",
		"alice  /home/alice/.ssh/authorized_keys2\n  ! symlink ", "eve  /home/eve/.ssh/authorized_keys\n  ! others may write\n\n", "accounts  5, changed: 1,", "lines     removed: 0, rewritten: 0, added: 1\n",
	} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("the report has no %q:\n%s", part, out.String())
		}
	}
}

// onlyASCII finds what could drive a terminal or forge a line.
func onlyASCII(t *testing.T, text string) {
	t.Helper()
	for i, r := range text {
		if r != '\n' && (r < ' ' || r > '~') {
			t.Errorf("byte %d is %q", i, r)
		}
	}
}

// However much is wrong with a registry, the text stays one that can be read; JSON has it all.
func TestHygieneIsBounded(t *testing.T) {
	r := example(t)
	for range 1000 {
		r.Rejects = append(r.Rejects, r.Rejects[0])
	}
	for range 20 {
		r.Shared[0].Users = append(r.Shared[0].Users, "u")
	}
	var text, object bytes.Buffer
	if err := errors.Join(report.Text(&text, r, false), report.JSON(&object, r)); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(text.String(), "alice  unparsable"); n != 49 || !strings.Contains(text.String(), "\n  ... and 952 more, which --format json has\n") {
		t.Errorf("%d rows:\n%s", n, text.String())
	}
	if !strings.Contains(text.String(), "alice, b\\nob, u, u, u, u, u, u and 14 more\n") {
		t.Errorf("names: %s", text.String())
	}
	if n := strings.Count(object.String(), `"code": "unparsable"`); n != 1001 {
		t.Errorf("%d rejects in JSON", n)
	}
}
