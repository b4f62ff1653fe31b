package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// metric is the value of a line of the text file, "" if it has none.
func (s site) metric(name string) string {
	s.t.Helper()
	text, err := os.ReadFile(s.path("keyreeve.prom"))
	if err != nil && !os.IsNotExist(err) {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "keyreeve_"+name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// measures waits until a metric has a value.
func (s site) measures(name, value string) {
	s.t.Helper()
	eventually(s.t, name+" is "+value, func() bool { return s.metric(name) == value })
}

// What the daemon may not change, an immutable file and one on a read-only mount, is told by exit status, report and metric
// for as long as it holds an unknown key, and no longer.
func TestUnresolvedIsTold(t *testing.T) {
	testenv.Need(t, "root", "mount")
	s := newSite(t)
	_, keys := vectors(t)
	fixed, mounted, fine := s.newMember(1, keys["A"]), s.newMember(2, keys["A"]), s.newMember(3, keys["A"])
	for _, m := range []member{fixed, mounted, fine} {
		m.write(t, "authorized_keys", keys["B"]+" intruder\n"+keys["A"]+"\n")
	}
	immutable := fixed.file("authorized_keys")
	if out, err := exec.Command("chattr", "+i", immutable).CombinedOutput(); err != nil {
		t.Fatalf("chattr: %v: %s", err, out)
	}
	mutable := func() { _ = exec.Command("chattr", "-i", immutable).Run() } // before the site goes
	t.Cleanup(mutable)
	ssh := filepath.Dir(mounted.file("x"))
	for _, flags := range []uintptr{syscall.MS_BIND, syscall.MS_BIND | syscall.MS_REMOUNT | syscall.MS_RDONLY} {
		if err := syscall.Mount(ssh, ssh, "", flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	unmount := func() { _ = syscall.Unmount(ssh, syscall.MNT_DETACH) }
	t.Cleanup(unmount)

	s.put("registry.ldif", entries(fixed, mounted, fine))
	s.configure("enforce", s.ldifRegistry())
	text, err := os.ReadFile(s.path("keyreeve.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s.put("keyreeve.yaml", string(text)+"metrics: {textfile: "+s.path("keyreeve.prom")+"}\n")

	for _, command := range []string{"plan", "apply"} {
		out, _ := s.keyreeve(statusError, command, fixed.name, mounted.name)
		for m, why := range map[*member]string{&fixed: "it or its directory is immutable (chattr +i)", &mounted: "its file system is mounted read-only"} {
			want := m.name + "  " + m.file("authorized_keys") + "\n  ! not decided: it has to be changed, but " + why + "\n  - unregistered       line 1"
			if !strings.Contains(unfolded(out), unfolded(want)) {
				t.Errorf("%s does not tell of %s:\n%s", command, m.name, out)
			}
		}
	}
	d := s.start()
	d.await("every home was looked at", 1)
	s.measures("unresolved_files", "2")
	s.measures("homes", "3")
	s.measures("silent_homes", "0")
	s.measures("audit_failures_total", "0")
	s.measures(`changes_total{outcome="success"}`, "1")
	s.measures(`removed_lines_total{reason="unregistered"}`, "1")
	if n := s.metric("registry_last_success_timestamp_seconds"); len(n) < 10 {
		t.Errorf("the registry was read at %q", n)
	}
	if info, err := os.Stat(s.path("keyreeve.prom")); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("the file is not for everybody to read: %v, %v", info, err)
	}
	mutable()
	fixed.loses(t, "authorized_keys", keys["B"])
	s.measures("unresolved_files", "1")
	unmount()
	mounted.loses(t, "authorized_keys", keys["B"])
	s.measures("unresolved_files", "0")
	d.stop()
	if s.metric("unresolved_files") != "0" || s.metric(`changes_total{outcome="success"}`) != "3" {
		t.Error("the last numbers are not in the file")
	}
}

// A directory that is immutable or append-only keeps no key that its user can write into a file there.
func TestApplyInAnImmutableDirectory(t *testing.T) {
	testenv.Need(t, "root", "ext4") // chattr(1)
	s := newSite(t)
	_, keys := vectors(t)
	user := s.newMember(1, keys["A"])
	user.write(t, "authorized_keys", keys["B"]+" intruder\n"+keys["A"]+"\n")
	s.put("registry.ldif", entries(user))
	s.configure("enforce", s.ldifRegistry())
	for _, attribute := range []string{"i", "a"} {
		dir := filepath.Dir(user.file("x"))
		if out, err := exec.Command("chattr", "+"+attribute, dir).CombinedOutput(); err != nil {
			t.Fatalf("chattr: %v: %s", err, out)
		}
		t.Cleanup(func() { _ = exec.Command("chattr", "-"+attribute, dir).Run() })
		user.append(t, "authorized_keys", keys["B"]+" intruder\n")
		s.keyreeve(statusOK, "apply", user.name)
		if text := user.read(t, "authorized_keys"); text != keys["A"]+"\n" {
			t.Errorf("+%s: the file has %q", attribute, text)
		}
		s.keyreeve(statusOK, "plan", user.name)
		_ = exec.Command("chattr", "-"+attribute, dir).Run()
	}
}
