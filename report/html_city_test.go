package report_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/policy"
	"github.com/keyreeve/keyreeve/registry"
	"github.com/keyreeve/keyreeve/report"
)

// hostile are comments that try to be markup, to end what they stand in, to turn text around and to drive a terminal.
var hostile = []string{
	`<script>document.title="owned"</script>`, `</script><script>document.title="owned"</script>`, `<img src=x onerror='document.title="owned"'>`,
	`"><b id=owned>`, `<!--<script>`, `]]>`, `{{.Style}}`, "\u202egro.live", "\x1b[2J\u009b1m", "=cmd|' /C calc'!A0", "a\u2028b", `\u003cscript>`, "\u05d0\u05d1 caf\u00e9",
}

func blob(fields ...[]byte) string {
	var wire []byte
	for _, f := range fields {
		wire = append(binary.BigEndian.AppendUint32(wire, uint32(len(f))), f...)
	}
	return base64.StdEncoding.EncodeToString(wire)
}

// edKey is the ed25519 key that belongs to a name, rsaKey an RSA key of a size that nobody can use.
func edKey(name string) string {
	seed := sha256.Sum256([]byte(name))
	public := ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey)
	return "ssh-ed25519 " + blob([]byte("ssh-ed25519"), public)
}

func rsaKey(name string, bits int) string {
	n := []byte{0}
	for sum := sha256.Sum256([]byte(name)); len(n) <= bits/8; sum = sha256.Sum256(sum[:]) {
		n = append(n, sum[:]...)
	}
	n = n[:bits/8+1]
	n[1], n[bits/8] = n[1]|0x80, n[bits/8]|1
	return "ssh-rsa " + blob([]byte("ssh-rsa"), []byte{1, 0, 1}, n)
}

// city is a report of n accounts; of a hundred some are out of line, and so are all of them where that is asked for.
func city(tb testing.TB, n int, wild bool) report.Report {
	tb.Helper()
	var users []registry.User
	var results []enforcer.Result
	made := time.Date(2026, 11, 26, 17, 30, 0, 0, time.UTC)
	r := report.Report{
		Source: "ldaps://ldap1.example.org", Applied: false, Host: "login1.example.org", Made: made,
		Modes: make(map[string]string), Granted: make(map[string]int), Seen: make(map[report.Holding]time.Time), Departed: make(map[string]time.Time),
	}
	name := func(i int) string { return fmt.Sprintf("u%06d", i) }
	for i := range n {
		user := registry.User{Name: name(i), UID: 10000 + i, GID: 100, Home: "/home/" + name(i)}
		if i%50 != 7 {
			user.Records = []registry.Record{{Key: key(tb, edKey(name(i))), Label: name(i) + "@laptop"}}
			r.Granted[user.Name] = 1
			r.Seen[report.Holding{User: user.Name, Key: user.Records[0].Key}] = made.AddDate(0, 0, -(i % 900))
		}
		users = append(users, user)
	}
	snapshot, err := registry.New(users, "ldaps://ldap1.example.org")
	if err != nil {
		tb.Fatal(err)
	}
	rules, err := policy.Compile(policy.DefaultRules())
	if err != nil {
		tb.Fatal(err)
	}
	grants := rules.Evaluate(snapshot, made)
	r.Policy, r.Users, r.Keys = rules.String(), snapshot.Len(), snapshot.Keys()
	for i := range n {
		odd := i % 100
		if wild {
			odd = 1 + i%12
		}
		r.Modes[name(i)] = []string{"enforce", "enforce", "warn", "report"}[i%4]
		results = append(results, household(grants, name(i), i, odd))
	}
	r.Results = results
	return r
}

// household is an account out of line in the way of odd, or in line.
func household(grants *policy.Grants, name string, i, odd int) enforcer.Result {
	own := edKey(name) + " " + name + "@laptop\n"
	f := regular(own)
	account := homes.Account{Name: name, UID: 10000 + i, GID: 100, Home: "/home/" + name}
	switch odd {
	case 1, 2:
		f = regular(own + edKey("other of "+name) + " old@desktop\n")
	case 3:
		f = regular(own + rsaKey(name, 2048) + " putty\n")
	case 4:
		f = regular(own + edKey("cluster of "+name) + " Warewulf Cluster key\n")
	case 5:
		f = homes.File{State: homes.Symlink, Detail: "a symbolic link to /scratch/keys"}
	case 6:
		f = homes.File{State: homes.Regular, Data: []byte(own), Detail: "mode 0664"}
	case 7:
		f = regular(rsaKey("only of "+name, 3072) + " " + name + "@old\n")
	case 8:
		f = homes.File{State: homes.Regular, Data: []byte(edKey("fixed of "+name) + " me\n"), Tidy: true, Barred: homes.Immutable}
	case 9:
		if i%300 == 9 {
			return enforcer.Result{Account: account, Err: errors.New("read .ssh/authorized_keys of " + name + ": connection timed out")}
		}
	case 10:
		f = regular("from=\"10.0.0.0/8\"   " + own)
	case 11:
		f = regular(edKey("friend of "+name) + " " + hostile[i/100%len(hostile)] + "\n" + own)
	case 12:
		f = homes.File{State: homes.Missing}
	}
	return enforcer.Result{Account: account, Plans: []enforcer.Plan{planOf(grants, name, first, f)}}
}
