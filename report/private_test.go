package report_test

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/privkey"
	"github.com/keyreeve/keyreeve/registry"
	"github.com/keyreeve/keyreeve/report"
)

// privateKey is one of a home's, in PEM, whose public half is that of a line unless that is empty.
func privateKey(tb testing.TB, path string, state privkey.State, line, comment string) enforcer.PrivateKey {
	tb.Helper()
	k := enforcer.PrivateKey{Path: path, Mode: 0o600, Key: privkey.Key{Form: privkey.PEM, State: state, Comment: comment}}
	if line != "" {
		k.Public = key(tb, line)
	}
	return k
}

// hamlet has somebody for each thing that is said of private keys.
func hamlet(tb testing.TB) report.Report {
	tb.Helper()
	grants := grantsFor(tb, "alice", "nina")
	r := report.Report{Host: "login1", PrivateDirs: []string{".ssh"}}
	add := func(name, text string, keys ...enforcer.PrivateKey) {
		one := result(planOf(grants, name, first, regular(text)))
		one.Private = keys
		r.Results = append(r.Results, one)
	}
	open := privateKey(tb, "/home/carl/.ssh/open", privkey.Encrypted, lineB, "")
	open.Mode = 0o644
	add("bob", "", privateKey(tb, "/home/bob/.ssh/cluster", privkey.Plain, "", ""))
	add("carl", "", open, enforcer.PrivateKey{Path: "/home/carl/.ssh/d\x1b[2J", Blind: "permission denied\n"})
	add("dora", "", privateKey(tb, "/home/dora/.ssh/cut", privkey.Unclear, "", ""))
	add("eve", lineB+" Warewulf Cluster key\n", privateKey(tb, "/home/eve/.ssh/k", privkey.Plain, lineB, ""))
	add("fred", "", privateKey(tb, "/home/fred/.ssh/k", privkey.Plain, lineB, "fred@login1"))
	add("lea", "")
	add("mona", "", privateKey(tb, "/home/mona/.ssh/k", privkey.Plain, "", "a Cluster key\u202e"), privateKey(tb, "/home/mona/.ssh/a", privkey.Plain, lineA, "a cluster key"))
	snapshot, err := registry.New([]registry.User{
		{Name: "alice", UID: 2001, GID: 2001, Home: "/home/alice", Records: []registry.Record{{Key: key(tb, lineA)}}},
		{Name: "nina", UID: 2002, GID: 2002, Home: "/home/nina", Records: []registry.Record{{Key: key(tb, lineA)}}},
	}, "ldaps://one")
	if err != nil {
		tb.Fatal(err)
	}
	r.Holders = report.Holders(snapshot, r.Results)
	return r
}

// Each private key has its code, people with the worst come first, and the cluster's own last: by its comment, by that of its line, by its name. What somebody has registered, and
// what was made on the host by hand, is nobody's but a person's.
func TestDigestOfPrivateKeys(t *testing.T) {
	d := hamlet(t).Digest()
	var got []string
	for _, f := range d.Private {
		got = append(got, strings.Join([]string{f.User, f.Path[strings.LastIndex(f.Path, "/")+1:], string(f.Code), string(f.Mark), strings.Join(f.Holders, "+")}, " "))
	}
	want := []string{
		"mona a no-passphrase cluster alice+nina", "mona k cluster-key cluster ", "fred k no-passphrase own-host ", "carl open exposed  ", "carl d\x1b[2J unread  ",
		"dora cut unclear  ", "bob cluster cluster-key warewulf ", "eve k cluster-key warewulf ",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if n := d.PrivateUsers(report.PrivateOpen); n != 2 {
		t.Errorf("%d people have one without a passphrase", n)
	}
	if one := (report.HomeTally{State: report.HomeWithout, Accounts: 6}); !slices.Contains(d.Homes, one) {
		t.Errorf("homes %+v: a private key is nothing that authorized_keys could be out of line by", d.Homes)
	}
}

// All forms have them all; JSON as TestSchema says.
func TestFormsOfPrivateKeys(t *testing.T) {
	r := hamlet(t)
	var table, page bytes.Buffer
	if err := report.CSV(&table, r); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&table).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, row := range rows {
		at := func(column string) string { return row[slices.Index(rows[0], column)] }
		if at("action") == "private-key" {
			got = append(got, fmt.Sprintf("%s %s %s %s %s", at("user"), at("file_state"), at("reason"), at("key_type"), at("detail")))
		}
	}
	want := []string{
		"bob plain cluster-key  known by the mark warewulf", "carl encrypted exposed ssh-ed25519 a passphrase protects it; mode 0644 gives others rights to it",
		`carl  unread  permission denied\n`, "dora unclear unclear  it looks like a private key, and cannot be read as one",
		"eve plain cluster-key ssh-ed25519 known by the mark warewulf", "fred plain no-passphrase ssh-ed25519 ", "mona plain cluster-key  known by the mark cluster",
		"mona plain no-passphrase ssh-ed25519 its public half is registered to alice, nina",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if err := report.HTML(&page, r); err != nil {
		t.Fatal(err)
	}
	onlyASCII(t, text(t, r, false))
	for form, printed := range map[string]string{"html": page.String(), "text": text(t, r, false)} {
		for _, part := range []string{"/home/fred/.ssh/k", `/home/carl/.ssh/d\x1b[2J`, "no-passphrase", "cluster-key", "unread", "exposed", "unclear", key(t, lineA).Fingerprint()} {
			if !strings.Contains(printed, part) {
				t.Errorf("%s: no %s in\n%s", form, part, printed)
			}
		}
	}
}

// One person with hundreds of them keeps nobody else's from being seen.
func TestPrivateKeysOfOnePersonAreBounded(t *testing.T) {
	r := hamlet(t)
	for i := range 300 {
		r.Results[0].Private = append(r.Results[0].Private, privateKey(t, fmt.Sprintf("/home/bob/.ssh/k%d", i), privkey.Plain, "", ""))
	}
	var page bytes.Buffer
	if err := report.HTML(&page, r); err != nil {
		t.Fatal(err)
	}
	summary, _, _ := strings.Cut(page.String(), `id="findings"`)
	printed := text(t, r, false)
	if n := strings.Count(printed, "/home/bob/"); n != 4 || !strings.Contains(printed, "... and 297 more") || !strings.Contains(printed, "/home/eve/.ssh/k") {
		t.Errorf("%d of one person's in\n%s", n, printed)
	}
	if n := strings.Count(summary, "/home/bob/.ssh/k"); n != 4 || !strings.Contains(summary, "and 297 more") || !strings.Contains(summary, "/home/eve/.ssh/k") {
		t.Errorf("%d of one person's in the page", n)
	}
}
