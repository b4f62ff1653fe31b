package main

import (
	"bytes"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/testenv"
	"github.com/keyreeve/keyreeve/policy"
	"github.com/keyreeve/keyreeve/registry"
)

// dated is a world in which ann and ben have a key that ends with its rule, of which ben has no other, from a user on.
func dated(t *testing.T, from int) *enforcer.World {
	t.Helper()
	_, keys := vectors(t)
	var list []registry.User
	for i, lines := range [][]string{{keys["R4096"], keys["A"]}, {keys["R4096"]}, {keys["B"]}} {
		if i < from {
			continue
		}
		u := registry.User{Name: []string{"ann", "ben", "cat"}[i], UID: 2001 + i, Home: "/home/" + []string{"ann", "ben", "cat"}[i]}
		for _, text := range lines {
			line, err := authkeys.ParseValue([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			u.Records = append(u.Records, registry.Record{Key: line.Key})
		}
		list = append(list, u)
	}
	snapshot, err := registry.New(list, "test")
	if err != nil {
		t.Fatal(err)
	}
	rules, err := policy.Compile(policy.Rules{Warn: 30, Keys: []policy.Rule{{Type: "ed25519"}, {Type: "rsa", MinBits: 4096, Until: "2000-02-10"}}})
	if err != nil {
		t.Fatal(err)
	}
	return enforcer.NewWorld(snapshot, rules.Evaluate(snapshot, time.Now()), enforcer.Scope{})
}

// A world that stays is counted on as its days go by: nothing before the warning's time, then a line a day, none for a change of numbers, and one when
// it is over. The clock of a bubble begins with the year 2000.
func TestForecast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		m := newMetrics()
		f := newForecast(newLogger(process{Stderr: &log}), m.foretell)
		end := f.keep()
		defer end()
		lines := func() (n, over int) {
			return strings.Count(log.String(), "registered keys will be refused soon"), strings.Count(log.String(), "no registered key will be refused soon any more")
		}
		expect := func(what string, told, over int, metrics string) {
			t.Helper()
			synctest.Wait()
			if n, o := lines(); n != told || o != over {
				t.Errorf("%s: %d lines and %d, want %d and %d\n%s", what, n, o, told, over, &log)
			}
			for name := range strings.FieldsSeq(metrics) {
				if !strings.Contains(m.text(), "\nkeyreeve_refused_soon_"+strings.Replace(name, "=", " ", 1)+"\n") {
					t.Errorf("%s: no %s in\n%s", what, name, m.text())
				}
			}
		}
		const day = 24 * time.Hour
		f.offer(dated(t, 0))
		expect("forty days before", 0, 0, "users=0 last_key_users=0 timestamp_seconds=0")
		time.Sleep(11*day + 2*forecastPeriod)
		expect("the time of the warning begins", 1, 0, "users=2 last_key_users=1 timestamp_seconds=950227200")
		if !strings.Contains(log.String(), `"people":2,"without_another_key":1,"first":"2000-02-11T00:00:00.000Z","ends":["the key will be refused from 2000-02-11 on: the rule is RSA of at least 4096 bits until 2000-02-10; then this centre requires ed25519"]`) {
			t.Error(log.String())
		}
		time.Sleep(2 * day)
		expect("two days later", 3, 0, "")
		f.offer(dated(t, 1))
		time.Sleep(forecastPause + time.Second)
		expect("one less is no news", 3, 0, "users=1 last_key_users=1")
		f.offer(dated(t, 2))
		time.Sleep(forecastPause + time.Second)
		expect("nobody", 3, 1, "users=0 last_key_users=0 timestamp_seconds=0")
		time.Sleep(3 * day)
		expect("nobody still", 3, 1, "")
	})
}

// The daemon tells of it, and counts on by the rules that it reads again.
func TestDaemonForecast(t *testing.T) {
	testenv.Need(t, "root") // a uid for the home
	s := newSite(t)
	_, keys := vectors(t)
	m := s.newMember(1, keys["R4096"])
	s.put("registry.ldif", entries(m))
	configure := func(until string) {
		s.configure("report", s.ldifRegistry())
		s.more("metrics: {textfile: " + s.path("keyreeve.prom") + "}\npolicy: {warn: 65000d, keys: [{type: ed25519}, {type: rsa, min_bits: 4096" + until + "}]}\n")
	}
	configure(", until: 2199-12-31")
	d := s.start()
	d.await(`"registered keys will be refused soon","people":1,"without_another_key":1`, 1)
	s.measures("refused_soon_last_key_users", "1")
	configure("")
	d.signal(syscall.SIGHUP)
	d.await("no registered key will be refused soon any more", 1)
	s.measures("refused_soon_users", "0")
	d.stop()
}
