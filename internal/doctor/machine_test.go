package doctor_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/internal/doctor"
	"github.com/keyreeve/keyreeve/internal/testenv"
)

// The rest of the host, from files of the test's own. A file that is not written is one that the host has not.
func TestChecksOfTheMachine(t *testing.T) {
	const mounts = "21 1 8:1 / / rw - ext4 /dev/sda1 rw\n22 21 0:40 / /home rw - nfs4 nas:/home rw\n23 22 0:41 / /home/far rw - autofs auto.home rw\n24 21 0:42 / /scratch rw - lustre mds@tcp:/w rw\n"
	for name, c := range map[string]struct {
		yaml  string
		homes []string
		files map[string]string
		want  []string
	}{
		"local homes":  {"", []string{"/local/ada"}, map[string]string{"proc/self/mountinfo": mounts}, nil},
		"remote homes": {"", []string{"/home/ada", "/home/far/bob", "/scratch/carl", "/local/dora"}, map[string]string{"proc/self/mountinfo": mounts}, []string{"note blind-homes homes", "note blind-homes homes", "note blind-homes homes"}},
		"watches":      {"", slices.Repeat([]string{"/a"}, 51), map[string]string{"proc/sys/fs/inotify/max_user_watches": "100\n"}, []string{"note inotify fs.inotify.max_user_watches"}},
		"enough":       {"", slices.Repeat([]string{"/a"}, 50), map[string]string{"proc/sys/fs/inotify/max_user_watches": "100\n"}, nil},
		"instances":    {"", nil, map[string]string{"proc/sys/fs/inotify/max_user_instances": "8\n"}, []string{"note inotify fs.inotify.max_user_instances"}},
		"cloud-init":   {"", nil, map[string]string{"etc/cloud/cloud.cfg": "users:\n"}, []string{"note writer etc/cloud/cloud.cfg"}},
		"and off":      {"", nil, map[string]string{"etc/cloud/cloud.cfg": "users:\n", "etc/cloud/cloud-init.disabled": ""}, nil},
		"a guest agent": {"", nil, map[string]string{"usr/sbin/qemu-ga": "", "usr/bin/google_guest_agent": "", "usr/sbin/waagent": "", "usr/bin/qemu-ga": "", "opt/cycle/jetpack/VERSION": ""}, []string{
			"note writer opt/cycle/jetpack", "note writer usr/bin/google_guest_agent", "note writer usr/bin/qemu-ga", "note writer usr/sbin/qemu-ga", "note writer usr/sbin/waagent",
		}},
		"Warewulf": {"", nil, map[string]string{
			"etc/profile.d/ssh_setup.sh": "if [ ! -f ~/.ssh/cluster ]; then\n ssh-keygen -f ~/.ssh/cluster\n cat ~/.ssh/cluster.pub >> ~/.ssh/authorized_keys\nfi\n",
			"etc/profile.d/lang.sh":      "LANG=C\n",
		}, []string{"note writer etc/profile.d/ssh_setup.sh"}},
		"a file of equivalents alone": {"", nil, map[string]string{"etc/ssh/shosts.equiv": "other\n"}, nil},
		"no table of mounts":          {"", nil, map[string]string{"proc/self/mountinfo": ""}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			p.yaml, p.homes = c.yaml, c.homes
			p.sshd(narrowed)
			for file, text := range c.files {
				p.put(file, text)
			}
			found := p.found()
			for i := range found {
				found[i] = strings.Replace(found[i], " /", " ", 1)
			}
			if diff := cmp.Diff(c.want, found); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The interval by which a home without events is looked at is named.
func TestBlindHomesNameTheSweep(t *testing.T) {
	p := newPlace(t)
	p.put("proc/self/mountinfo", "21 1 0:40 / / rw - nfs4 nas:/home rw\n")
	p.homes = []string{"/home/ada", "/home/bob"}
	p.sshd(narrowed)
	found := doctor.Diagnose(p.facts())
	if len(found) != 1 || !strings.Contains(found[0].What, "2 homes are on nfs") || !strings.Contains(found[0].What, "homes.sweep (10m0s)") || !strings.Contains(found[0].What, "(15s)") {
		t.Errorf("%+v", found)
	}
}

// A host that trusts other hosts has more to tell where it says which.
func TestEquivalents(t *testing.T) {
	p := newPlace(t)
	p.put("etc/ssh/shosts.equiv", "other\n")
	p.sshd(narrowed + "HostbasedAuthentication yes\n")
	if found := doctor.Diagnose(p.facts()); len(found) != 1 || !strings.Contains(found[0].What, "/etc/ssh/shosts.equiv") {
		t.Errorf("%+v", found)
	}
}

// The clock of the directory may be a minute off.
func TestClock(t *testing.T) {
	p := newPlace(t)
	p.sshd(narrowed)
	for _, c := range []struct {
		off            time.Duration
		asked, clocked bool
		want           []string
	}{
		{2 * time.Minute, true, true, []string{"locks-out clock"}},
		{-2 * time.Minute, true, true, []string{"locks-out clock"}},
		{30 * time.Second, true, true, nil},
		{0, true, false, []string{"note clock"}},
		{2 * time.Minute, false, false, nil}, // a file as the registry
	} {
		facts := p.facts()
		facts.Clock, facts.Clocked, facts.ClockAsked = c.off, c.clocked, c.asked
		var got []string
		for _, f := range doctor.Diagnose(facts) {
			got = append(got, string(f.Severity)+" "+f.Code)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%v: %v", c, got)
		}
	}
}

// process puts one into the test's own /proc.
func (p *place) process(pid, uid int, comm, title string) {
	p.Helper()
	dir := "proc/" + strconv.Itoa(pid)
	p.put(dir+"/comm", comm+"\n")
	p.put(dir+"/cmdline", title)
	if err := os.Chown(p.path(dir), uid, uid); err != nil {
		p.Fatal(err)
	}
}

// Servers that nobody was asked about.
func TestProcesses(t *testing.T) {
	testenv.Need(t, "root")
	p := newPlace(t)
	p.sshd(narrowed)
	known := "sshd: /usr/sbin/sshd -D -ef " + p.path("sshd_config") + " [listener] 0 of 10-100 startups\x00\x00\x00"
	for _, c := range []struct {
		name        string
		uid         int
		comm, title string
		want        []string
	}{
		{"the one that is known", 0, "sshd", known, nil},
		{"one of its sessions", 0, "sshd", "sshd: ada [priv]\x00", nil},
		{"one of its sessions of 10", 0, "sshd-session", "sshd-session: ada [priv]\x00", nil},
		{"one with the default", 0, "sshd", "sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups\x00", []string{"defeats other-sshd process 7"}},
		{"one with another file", 0, "sshd", "sshd: /usr/sbin/sshd -f /etc/ssh/other [listener] 0 of 10-100 startups\x00", []string{"defeats other-sshd process 7"}},
		{"with an option", 0, "sshd", strings.Replace(known, "-D", "-p 22 -oStrictModes=no", 1), []string{"defeats sshd-option process 7"}},
		{"with another option", 0, "sshd", strings.Replace(known, "-D", "-o Port=22", 1), nil},
		{"an older one", 0, "sshd", "/usr/sbin/sshd\x00-D\x00-oCiphers=aes128-ctr\x00", []string{"defeats other-sshd process 7"}},
		{"one that is asked", 0, "sshd", "/usr/sbin/sshd\x00-T\x00-f\x00/etc/ssh/other\x00", nil},
		{"a user's", 2001, "sshd", known, []string{"defeats own-server process 7"}},
		{"dropbear", 0, "dropbear", "/usr/sbin/dropbear\x00-p\x0022\x00", []string{"defeats other-server process 7"}},
		{"another program", 0, "sshfs", "sshfs\x00", nil},
	} {
		p.process(7, c.uid, c.comm, c.title)
		if diff := cmp.Diff(c.want, p.found()); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

// A real sshd, and a program of the name dropbear, are seen in the real /proc. Tests beside this one have their own.
func TestProcessesOfTheSystem(t *testing.T) {
	testenv.Need(t, "root")
	server := testenv.StartSSHD(t, "")
	program := filepath.Join(t.TempDir(), "dropbear")
	sleep, err := testenv.Program("sleep")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(sleep)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, text, 0o755); err != nil {
		t.Fatal(err)
	}
	bear := exec.Command(program, "1000")
	if err := bear.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = bear.Process.Kill()
		_ = bear.Wait()
	}()
	p := newPlace(t)
	p.sshd(narrowed)
	facts := doctor.Collect(t.Context(), doctor.Question{Config: p.facts().Config, Root: "/", Now: time.Now()})
	var all []string
	for _, f := range doctor.Diagnose(facts) {
		all = append(all, fmt.Sprintf("%s %s %s", f.Code, f.Where, f.What))
	}
	for _, want := range []string{"an sshd runs with " + server.Config + ", which", fmt.Sprintf("other-server process %d dropbear", bear.Process.Pid)} {
		if !strings.Contains(strings.Join(all, "\n"), want) {
			t.Errorf("not told: %s in %q", want, all)
		}
	}
}
