package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/config"
)

// now is when the tables judge, and age how old the host is then.
var now = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

const age = 1e6

// well is a daemon that does its work.
func well() vitals {
	at := func(ago time.Duration) *time.Time { t := now.Add(-ago); return &t }
	return vitals{
		Version: "v1", PID: 812, Started: now.Add(-24 * time.Hour), Written: age - 10, Beat: 3,
		Config: configVitals{Path: "/etc/keyreeve/keyreeve.yaml", SHA256: "one", Mode: "enforce"},
		Reg:    regVitals{Source: "ldap", Read: at(2 * time.Minute), Users: 3, Keys: 4, Reachable: true, Since: at(time.Hour)},
		Homes:  homesVitals{Kept: 3, Troubles: []troubleVitals{}, Watches: 6, Limit: 8192},
		Sweep:  sweepVitals{Ended: at(5 * time.Minute), Took: 2, Every: 600},
	}
}

func judged(v vitals, by witness) daemonStatus {
	by.now, by.config = now, config.Config{SHA256: "one"}
	if by.age == 0 {
		by.age = age
	}
	return newStatusOf(&v, v.judge(by))
}

// A state follows from each fact alone, and the same fact on the other side of its bound is none.
func TestStatusJudges(t *testing.T) {
	far, early := now.Add(-24*time.Hour), now.Add(-time.Minute)
	for _, test := range []struct {
		name   string
		change func(*vitals)
		state  health
		text   string
	}{
		{"well", func(*vitals) {}, healthOK, ""},
		{"silent for less than the bound", func(v *vitals) { v.Written = age - 59 }, healthOK, ""},
		{"silent", func(v *vitals) { v.Written = age - 61 }, healthCritical, "hangs, or is stopped"},
		{"of another boot", func(v *vitals) { v.Written = age + 1 }, healthUnknown, "another boot"},
		{"a loop that is busy", func(v *vitals) { v.Beat = 169 }, healthOK, ""},
		{"a loop that stands still", func(v *vitals) { v.Beat = 171 }, healthCritical, "stands still, for 3m1s"},
		{"another configuration", func(v *vitals) { v.Config.SHA256 = "two" }, healthWarning, "is not the one that is on the disk"},
		{"refused", func(v *vitals) { v.Config.Refused = true }, healthCritical, "enforcing does not begin"},
		{"report", func(v *vitals) { v.Config.Mode = "report" }, healthOK, ""},
		{"no reading yet", func(v *vitals) { v.Reg = regVitals{}; v.Started = early }, healthWarning, "for the first time"},
		{"no reading for long", func(v *vitals) { v.Reg = regVitals{} }, healthCritical, "not read yet"},
		{"no reading, with a reason", func(v *vitals) { v.Reg = regVitals{Error: "refused\x1b"}; v.Started = early }, healthCritical, `decided: refused\x1b`},
		{"away", func(v *vitals) { v.Reg.Reachable, v.Reg.Error = false, "EOF" }, healthWarning, "the last good reading counts: EOF"},
		{"stale", func(v *vitals) { v.Reg.Stale, v.Reg.Read = true, &far }, healthCritical, "is stale"},
		{"held", func(v *vitals) { v.Reg.Held, v.Reg.LostUsers = true, 7 }, healthCritical, "7 users"},
		{"braked", func(v *vitals) { v.Brake = brakeVitals{true, 9} }, healthCritical, "holds 9 keys"},
		{"no trail", func(v *vitals) { v.Failing.Audit = true }, healthCritical, "trail"},
		{"no copies", func(v *vitals) { v.Failing.Quarantine = true }, healthCritical, "quarantine"},
		{"no answers", func(v *vitals) { v.Failing.Answer = true }, healthCritical, "answered"},
		{"no list", func(v *vitals) { v.Failing.Deny = true }, healthCritical, "refuses"},
		{"unresolved", func(v *vitals) { v.Homes.Unresolved = 2 }, healthWarning, "not resolved: 2"},
		{"unwatched", func(v *vitals) { v.Homes.Unwatched = 1 }, healthWarning, "not watched"},
		{"a sweep that is late", func(v *vitals) { v.Sweep.Ended = &far }, healthWarning, "no look at every home"},
		{"a sweep that was never", func(v *vitals) { v.Sweep.Ended = nil }, healthWarning, "no look at every home"},
		{"a sweep that is slow", func(v *vitals) { v.Sweep.Ended, v.Sweep.Took = &far, 24*3600 }, healthOK, ""},
		{"a first sweep", func(v *vitals) { v.Sweep.Ended, v.Started = nil, early }, healthOK, ""},
	} {
		v := well()
		test.change(&v)
		s := judged(v, witness{})
		var out bytes.Buffer
		screen := bufio.NewWriter(&out)
		s.text(screen)
		_ = screen.Flush()
		first, _, _ := strings.Cut(out.String(), "\n")
		if s.State != test.state || !strings.Contains(first, test.text) || !strings.HasPrefix(first, strings.ToUpper(test.state.String())+": ") {
			t.Errorf("%s: %v, want %v with %q; the screen:\n%s", test.name, s.State, test.state, test.text, &out)
		}
	}
	if s := judged(well(), witness{gone: true}); s.State != healthCritical || len(s.Problems) != 1 {
		t.Errorf("with a process that is gone: %+v", s)
	}
	both := well()
	both.Homes.Unresolved, both.Brake.On = 1, true
	if s := judged(both, witness{}); s.State != healthCritical || len(s.Problems) != 2 || s.Problems[0].State != healthCritical {
		t.Errorf("with two problems: %+v", s)
	}
}

// A daemon says how it is, and one that has ended, however that came about, is not well.
func TestStatusOfTheDaemon(t *testing.T) {
	s := newSite(t)
	_, keys := vectors(t)
	user := s.newMember(1, keys["A"])
	user.write(t, "authorized_keys", keys["A"]+"\n")
	s.put("registry.ldif", entries(user))
	s.configure("enforce", s.ldifRegistry())
	says := func(status int, text string) {
		t.Helper()
		out, _ := s.keyreeve(status, "status")
		if !strings.Contains(out, text) {
			t.Errorf("status does not say %q:\n%s", text, out)
		}
	}
	comes := func(text string) {
		t.Helper()
		eventually(t, "status says "+text, func() bool {
			s := inquire(s.path("keyreeve.yaml"))
			var out bytes.Buffer
			screen := bufio.NewWriter(&out)
			s.text(screen)
			_ = screen.Flush()
			return strings.Contains(out.String(), text)
		})
	}
	says(int(healthCritical), "CRITICAL: no daemon runs by this configuration")
	d := s.start()
	d.await("every home was looked at", 1)
	eventually(t, "the first sweep has ended", func() bool {
		daemon := inquire(s.path("keyreeve.yaml")).Daemon
		return daemon != nil && daemon.Sweep.Ended != nil
	})
	says(int(healthOK), "OK: homes kept: 1, mode enforce\n")
	if info, err := os.Stat(s.path("run", "daemon.json")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("what tells of the daemon is not for root alone: %v, %v", info, err)
	}
	var document daemonStatus
	out, _ := s.keyreeve(statusOK, "status", "--format", "json")
	if err := json.Unmarshal([]byte(strings.Replace(out, `"state": "ok"`, `"state": 0`, 1)), &document); err != nil {
		t.Fatal(err)
	}
	if v := document.Daemon; v.PID != d.cmd.Process.Pid || v.Reg.Users != 1 || v.Reg.Keys != 1 || v.Homes.Watches < 2 || v.Homes.Limit < 1 || v.Sweep.Ended == nil {
		t.Errorf("the document has %+v", v)
	}

	text, err := os.ReadFile(s.path("keyreeve.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s.put("keyreeve.yaml", string(text)+"# another word\n")
	says(int(healthWarning), "WARNING: the configuration in force is not the one that is on the disk")
	d.signal(syscall.SIGHUP)
	comes("OK: ")
	s.put("keyreeve.yaml", "mode: maybe\n")
	says(int(healthUnknown), "UNKNOWN: ")
	s.put("keyreeve.yaml", string(text))
	d.signal(syscall.SIGHUP)
	comes("OK: ")
	d.stop()
	says(int(healthCritical), "no daemon runs by this configuration")

	d = s.start()
	d.await("every home was looked at", 1)
	comes("OK: ")
	d.signal(syscall.SIGKILL)
	<-d.ended
	says(int(healthCritical), "the daemon has ended without a word")
	if _, stderr := s.keyreeve(int(healthUnknown), "status", "--frmat", "json"); !strings.Contains(stderr, "unknown flag") {
		t.Errorf("a wrong flag: %s", stderr)
	}
	s.keyreeve(int(healthUnknown), "status", "too much")
}
