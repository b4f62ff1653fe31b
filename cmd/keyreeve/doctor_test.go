package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// hospital is a site with an sshd of its own, and /etc and /proc of its own.
func hospital(t *testing.T, sshd string) (s site, examine func(arguments ...string) (status int, stdout, stderr string)) {
	t.Helper()
	s = newSite(t)
	key := testenv.NewHostKey(t)
	for _, dir := range []string{"etc/pam.d", "proc/self"} {
		if err := os.MkdirAll(s.path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.put("proc/self/mountinfo", "21 1 8:1 / / rw - ext4 /dev/sda1 rw\n")
	s.put("etc/pam.d/sshd", "")
	s.put("sshd_config", "HostKey "+key+"\nUsePAM yes\n"+sshd)
	s.put("registry.ldif", entries(s.newMember(1, newKeyLine(t))))
	s.configure("report", s.ldifRegistry())
	text, err := os.ReadFile(s.path("keyreeve.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s.put("keyreeve.yaml", strings.Replace(string(text), "configs: []", fmt.Sprintf("configs: [%q]", s.path("sshd_config")), 1))
	return s, func(arguments ...string) (int, string, string) {
		var out, said bytes.Buffer
		status := run(t.Context(), process{Args: append(arguments, "--config", s.path("keyreeve.yaml")), Stdout: &out, Stderr: &said, Root: s.dir})
		return status, out.String(), said.String()
	}
}

func newKeyLine(t *testing.T) string {
	t.Helper()
	_, line := testenv.NewKey(t)
	return line
}

// The exit status tells: nothing with what the doctor itself prints, something without; and what is told is where it says.
func TestDoctor(t *testing.T) {
	testenv.Need(t, "root", "sshd")
	s, examine := hospital(t, "Include NONE\n")
	status, text, said := examine("doctor")
	if status != statusAttention || said != "" || !strings.Contains(text, "defeats    rsa-size            "+s.path("sshd_config")) || !strings.Contains(text, "  want  RequiredRSASize 4096\n") || !strings.Contains(text, "note       no-reading          registry\n") {
		t.Fatalf("status %d, %s%s", status, text, said)
	}
	status, drop, said := examine("doctor", "--show-config")
	if status != statusOK || said != "" {
		t.Fatalf("status %d, %s%s", status, drop, said)
	}
	before, err := os.ReadFile(s.path("sshd_config"))
	if err != nil {
		t.Fatal(err)
	}
	s.put("sshd_config", drop+string(before))
	status, text, said = examine("doctor", "--format", "json")
	var d diagnosis
	if err := json.Unmarshal([]byte(text), &d); err != nil || status != statusOK || said != "" || d.Way != "homes" {
		t.Fatalf("status %d, error %v, %s%s", status, err, text, said)
	}
	for _, f := range d.Findings {
		if f.Severity.Bad() {
			t.Errorf("%+v", f)
		}
	}
	s.put("sshd_config", "Bogus yes\n")
	if status, text, said = examine("doctor"); status != statusError || !strings.Contains(said, "1 things could not be looked at") {
		t.Errorf("status %d, %s%s", status, text, said)
	}
	if entries, err := filepath.Glob(s.path("state", "*")); err != nil || len(entries) > 0 {
		t.Errorf("it made %v, error %v", entries, err)
	}
}

// Whom sshd is asked about: root, the administrators, who is named, and some of the last reading, which apply keeps.
func TestDoctorSample(t *testing.T) {
	testenv.Need(t, "root", "sshd")
	s, examine := hospital(t, "")
	var members []member
	for n := range 40 {
		members = append(members, s.newMember(n, newKeyLine(t)))
	}
	s.put("registry.ldif", entries(members...))
	text, err := os.ReadFile(s.path("keyreeve.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s.put("keyreeve.yaml", strings.Replace(string(text), "mode: report", "mode: enforce", 1))
	s.keyreeve(statusOK, "apply")
	s.more("admins: [user003, nobodyknows]\n")
	_, printed, said := examine("doctor", "--format", "json", "user017")
	var d diagnosis
	if err := json.Unmarshal([]byte(printed), &d); err != nil {
		t.Fatalf("%v: %s%s", err, printed, said)
	}
	if len(d.Users) != 3+sampled || d.Users[0] != "user017" || d.Users[1] != "root" || d.Users[2] != "user003" {
		t.Errorf("asked about %v", d.Users)
	}
	if !strings.Contains(printed, `neither the registry nor /etc/passwd knows \"nobodyknows\"`) || strings.Contains(printed, "no-reading") {
		t.Error(printed)
	}
	if status, _, said := examine("doctor", "stranger"); status != statusError || !strings.Contains(said, `neither the registry nor /etc/passwd knows "stranger"`) {
		t.Errorf("status %d, %s", status, said)
	}
}

// A directory is asked for its time; that it does not answer is no silence.
func TestDoctorAsksForTheTime(t *testing.T) {
	testenv.Need(t, "sshd", "slapd")
	s, examine := hospital(t, "")
	ldap := testenv.StartSlapdWith(t, entries(s.newMember(1, newKeyLine(t))), testenv.SlapdSetup{Database: "database monitor\naccess to * by users read\n"})
	text, err := os.ReadFile(s.path("keyreeve.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s.put("keyreeve.yaml", strings.Replace(string(text), s.ldifRegistry(), startTLS(ldap, "1h"), 1))
	if _, text, _ := examine("doctor"); strings.Contains(text, "clock") || strings.Contains(text, "time") {
		t.Error(text)
	}
	ldap.Stop()
	if _, text, _ := examine("doctor"); !strings.Contains(text, "ask the directory for its time: "+ldap.URL) {
		t.Error(text)
	}
}
