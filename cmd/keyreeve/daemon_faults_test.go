package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// team is how many members the registry of a trial has.
const team = 5

// reader is the DN by which trials read: the server's limits and access lists hold for it.
const reader = "cn=reader," + testenv.SlapdPeople

// trial is a daemon of its own with a proxy before its registry.
type trial struct {
	fault

	t       *testing.T
	site    site
	members []member
	proxy   *testenv.Proxy
	daemon  *child
}

// server serves the first members of the trial.
func (r *trial) server(members int, setup testenv.SlapdSetup, more ...string) *testenv.Slapd {
	r.t.Helper()
	return testenv.StartSlapdWith(r.t, readerEntry+strings.Join(more, "")+"\n"+entries(r.members[:members]...), setup)
}

const readerEntry = "dn: " + reader + "\nobjectClass: person\ncn: reader\nsn: reader\nuserPassword: correct horse\n\n"

// prefix begins the name of each member, and of nobody in another trial.
func (r *trial) prefix() string { return strings.TrimSuffix(r.members[0].name, "0") }

// configure makes the trial's daemon read the proxy: it sees the members alone, whose names begin alike.
func (r *trial) configure(password, base string) {
	r.t.Helper()
	canary := ""
	if r.canary {
		last := r.members[team-1]
		canary = fmt.Sprintf("canary: {user: %s, fingerprint: '%s'}, ", last.name, fingerprintOf(r.t, last.keys[0]))
	}
	r.site.configure("enforce", fmt.Sprintf("{source: ldap, refresh: 1s, %sldap: {urls: ['%s'], base: '%s', filter: '(&(objectClass=posixAccount)(uid=%s*))', "+
		"page_size: 2, timeout: 2s, ca_file: %s, bind_dn: '%s', password_file: %s}}", canary, r.proxy.URL, base, r.prefix(), r.proxy.CAFile, reader, password))
}

// plants puts an unregistered key into everybody's file and waits until it has gone; whatever was registered is still there then.
func (r *trial) plants(t *testing.T, key, when string) {
	t.Helper()
	for _, m := range r.members {
		m.append(t, "authorized_keys", key+" "+when+"\n")
	}
	for _, m := range r.members {
		m.loses(t, "authorized_keys", key)
		if text := m.read(t, "authorized_keys"); text != strings.Join(m.keys, "\n")+"\n" {
			t.Errorf("%s: %s has %q", when, m.name, text)
		}
	}
}

// told counts the lines of the log that hold all texts.
func (d *child) told(texts ...string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, line := range d.log {
		all := true
		for _, text := range texts {
			all = all && strings.Contains(line, text)
		}
		if all {
			n++
		}
	}
	return n
}

// atOnce bounds the daemons that run at one time: each takes some of the 128 inotify instances that a user may have.
const atOnce = 10

// TestDaemonFaults lets everything go wrong that can go wrong with a registry. Whatever it is: nobody loses a registered key, an unknown
// key that comes meanwhile goes, also with a daemon that starts only then; one line of the log says what happened, and afterwards the
// registry is read again.
func TestDaemonFaults(t *testing.T) {
	testenv.Need(t, "slapd")
	_, keys := vectors(t)
	var trials []*trial
	var everybody []member
	for n, f := range faults() {
		r := &trial{fault: f, t: t, site: newSite(t)}
		for i := range team {
			m := r.site.newMember(10*(n+1)+i, keys["A"], keys["D"])
			m.write(t, "authorized_keys", strings.Join(m.keys, "\n")+"\n")
			r.members = append(r.members, m)
		}
		trials, everybody = append(trials, r), append(everybody, r.members...)
	}
	server := testenv.StartSlapd(t, readerEntry+entries(everybody...))
	for some := range slices.Chunk(trials, atOnce) {
		for _, r := range some {
			r.proxy = testenv.StartProxy(t, server)
			r.configure(server.PasswordFile, server.Base)
			r.daemon = r.site.start()
		}
		playFaults(t, some, keys["B"])
	}
}

// playFaults takes each step with all trials before the next one, so that their waiting is done once.
func playFaults(t *testing.T, trials []*trial, unknown string) {
	t.Helper()
	for _, r := range trials {
		r.daemon.await("every home was looked at", 1)
		r.begin(r)
	}
	for _, r := range trials {
		t.Run(r.name, func(t *testing.T) {
			r.daemon.t = t
			says := append([]string{r.outcome.line()}, r.says...)
			eventually(t, fmt.Sprintf("a line of the log says %q", says), func() bool { return r.daemon.told(says...) > 0 })
			r.plants(t, unknown, "meanwhile")
			r.daemon.stop()
		})
	}
	for _, r := range trials {
		r.daemon = r.site.start()
	}
	for _, r := range trials {
		t.Run(r.name+", after a restart", func(t *testing.T) {
			r.plants(t, unknown, "after a restart")
		})
	}
	reads := make(map[*trial]int)
	for _, r := range trials {
		reads[r] = r.daemon.said("registry read")
		r.proxy.Heal()
		if r.end != nil {
			r.end(r)
		}
	}
	for _, r := range trials {
		t.Run(r.name+", afterwards", func(t *testing.T) {
			r.daemon.t = t
			r.daemon.await("registry read", reads[r]+1)
			r.plants(t, unknown, "afterwards")
			r.daemon.stop()
		})
	}
}

// The table of docs/operations.md has a row for every fault that is tried, and no other.
func TestOperationsTellsOfFaults(t *testing.T) {
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := []string{"| fault | the reading is | the log says, in one line |", "|---|---|---|"}
	for _, f := range faults() {
		rows = append(rows, fmt.Sprintf("| %s | %s | `%s` |", f.name, f.outcome, strings.Join(f.says, " … ")))
	}
	want := strings.Join(rows, "\n")
	if _, section, _ := strings.Cut(string(text), "\n## Faults of the registry\n"); !strings.Contains(section, "\n\n"+want+"\n\n") {
		t.Errorf("the section \"Faults of the registry\" of docs/operations.md wants this table:\n%s", want)
	}
}
