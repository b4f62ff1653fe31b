package main

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// child is a running daemon: the real program, in a process of its own, with its log.
type child struct {
	t     *testing.T
	cmd   *exec.Cmd
	ended chan struct{} // closed when the program has ended and its log is complete

	mu  sync.Mutex
	log []string
}

// start runs the daemon of a site until the test ends. Its log is printed only if the test failed.
func (s site) start() *child {
	s.t.Helper()
	return s.startBy((*exec.Cmd).Start)
}

// startBy is start, by another way to start a program.
func (s site) startBy(begin func(*exec.Cmd) error) *child {
	s.t.Helper()
	d := &child{t: s.t, cmd: exec.Command("keyreeve", "daemon", "--config", s.path("keyreeve.yaml")), ended: make(chan struct{})}
	stderr, err := d.cmd.StderrPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := begin(d.cmd); err != nil {
		s.t.Fatal(err)
	}
	go func() {
		defer close(d.ended)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			d.mu.Lock()
			d.log = append(d.log, lines.Text())
			d.mu.Unlock()
		}
		_ = d.cmd.Wait() // how it ended is asked for by stop
	}()
	s.t.Cleanup(func() {
		_ = d.cmd.Process.Kill() // most tests have ended it already
		<-d.ended
		if s.t.Failed() {
			s.t.Logf("log of the daemon:\n%s", strings.Join(d.log, "\n"))
		}
	})
	return d
}

// said counts the lines of the log that hold a text.
func (d *child) said(text string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, line := range d.log {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// await returns when the daemon has said a text n times.
func (d *child) await(text string, n int) {
	d.t.Helper()
	eventually(d.t, fmt.Sprintf("the daemon says %q for the %d. time", text, n), func() bool {
		select {
		case <-d.ended:
			if d.said(text) < n {
				d.t.Fatalf("the daemon ended before it said %q", text)
			}
		default:
		}
		return d.said(text) >= n
	})
}

// signal sends a signal to the daemon.
func (d *child) signal(s syscall.Signal) {
	d.t.Helper()
	if err := d.cmd.Process.Signal(s); err != nil {
		d.t.Fatal(err)
	}
}

// stop ends the daemon as systemd does. It must end by itself, with status 0.
func (d *child) stop() {
	d.t.Helper()
	d.signal(syscall.SIGTERM)
	select {
	case <-d.ended:
	case <-time.After(patience):
		d.t.Fatal("the daemon does not end")
	}
	if code := d.cmd.ProcessState.ExitCode(); code != statusOK {
		d.t.Errorf("the daemon ended with %v", d.cmd.ProcessState)
	}
}

// eventually waits for a condition and says how long that took.
func eventually(t *testing.T, what string, condition func() bool) time.Duration {
	t.Helper()
	for start := time.Now(); ; time.Sleep(time.Millisecond) {
		if condition() {
			return time.Since(start)
		}
		if time.Since(start) > patience {
			t.Fatalf("it did not come about that %s", what)
		}
	}
}

// does runs a shell command in the home with the user's rights: what root does there in several steps, keyreeve may see
// half done.
func (m member) does(t *testing.T, command, stdin string) {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-euc", "umask 077; "+command)
	cmd.Dir, cmd.Stdin = m.home, strings.NewReader(stdin)
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(m.uid), Gid: uint32(m.gid)}}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
}

// append adds text to a key file as "echo >>" does.
func (m member) append(t *testing.T, name, text string) {
	t.Helper()
	file, err := os.OpenFile(m.file(name), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}

// loses waits until a key file holds a text no more.
func (m member) loses(t *testing.T, name, text string) time.Duration {
	t.Helper()
	return eventually(t, fmt.Sprintf("%s of %s loses the line", name, m.name), func() bool {
		return !strings.Contains(m.read(t, name), text)
	})
}

// leftovers lists what is below the home beside the files that the test has made.
func (m member) leftovers(t *testing.T, own ...string) []string {
	t.Helper()
	var odd []string
	err := filepath.WalkDir(m.home, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && !strings.Contains(d.Name(), "keyreeve-") {
			return err
		}
		for _, name := range own {
			if d.Name() == name {
				return nil
			}
		}
		odd = append(odd, path)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return odd
}

// A configuration is taken whole or not at all, and a second daemon not at all.
func TestDaemonReload(t *testing.T) {
	s := newSite(t)
	_, keys := vectors(t)
	user := s.newMember(1, keys["A"])
	user.write(t, "authorized_keys", keys["A"]+"\n")
	s.put("registry.ldif", entries(user))
	s.configure("enforce", s.ldifRegistry())
	d := s.start()
	d.await("registry read", 1)
	user.append(t, "authorized_keys", keys["B"]+" first\n")
	user.loses(t, "authorized_keys", keys["B"])

	if _, stderr := s.keyreeve(statusError, "daemon"); !strings.Contains(stderr, "hint: end the other daemon") {
		t.Errorf("a second daemon said %q", stderr)
	}

	s.put("keyreeve.yaml", "mode: report\nregistri: {}\n")
	d.signal(syscall.SIGHUP)
	d.await("configuration not taken; the old one stays in force", 1)
	if d.said("unknown key registri") != 1 {
		t.Error("the daemon did not say what is wrong with the configuration")
	}
	user.append(t, "authorized_keys", keys["B"]+" second\n")
	user.loses(t, "authorized_keys", keys["B"])

	s.configure("report", s.ldifRegistry())
	text, err := os.ReadFile(s.path("keyreeve.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s.put("keyreeve.yaml", strings.ReplaceAll(string(text), s.path("state"), s.path("elsewhere")))
	d.signal(syscall.SIGHUP)
	d.await("a change of state_dir needs a restart of the daemon", 1)

	s.configure("report", s.ldifRegistry())
	d.signal(syscall.SIGHUP)
	d.await("configuration read again", 1)
	user.append(t, "authorized_keys", keys["B"]+" third\n")
	d.await("file would be changed", 1)
	if text := user.read(t, "authorized_keys"); text != keys["A"]+"\n"+keys["B"]+" third\n" {
		t.Errorf("mode report changed the file: %q", text)
	}

	s.configure("enforce", s.ldifRegistry())
	d.signal(syscall.SIGHUP)
	user.loses(t, "authorized_keys", keys["B"])
	d.stop()
	if text := user.read(t, "authorized_keys"); text != keys["A"]+"\n" {
		t.Errorf("in the end the file is %q", text)
	}
	if odd := user.leftovers(t, "authorized_keys"); len(odd) > 0 {
		t.Errorf("keyreeve left %q in the home", odd)
	}
}

// A key that is taken out of the registry's file goes at once; so does one whose user leaves his file alone. A file that went
// bad changes nothing.
func TestDaemonRevocation(t *testing.T) {
	s := newSite(t)
	_, keys := vectors(t)
	user, other := s.newMember(1, keys["A"], keys["B"]), s.newMember(2, keys["D"])
	for _, m := range []member{user, other} {
		m.write(t, "authorized_keys", strings.Join(m.keys, "\n")+"\n")
	}
	s.put("registry.ldif", entries(user, other))
	s.configure("enforce", s.ldifRegistry())
	d := s.start()
	d.await("registry read", 1)

	s.put("registry.ldif", "")
	d.await("the registry could not be read", 1)

	user.keys = user.keys[:1]
	s.put("registry.ldif", entries(user, other))
	took := user.loses(t, "authorized_keys", keys["B"])
	t.Logf("a key that was taken out of the registry was gone after %d ms", took.Milliseconds())
	d.stop()
	for _, m := range []member{user, other} {
		if text := m.read(t, "authorized_keys"); text != m.keys[0]+"\n" {
			t.Errorf("%s has %q", m.name, text)
		}
	}
}

// A registry file that is still being written is not a registry, wherever its writer stopped for the moment.
func TestDaemonWaitsForTheRegistrysWriter(t *testing.T) {
	s := newSite(t)
	_, keys := vectors(t)
	user := s.newMember(1, keys["A"], keys["B"])
	user.write(t, "authorized_keys", strings.Join(user.keys, "\n")+"\n")
	whole := entries(user)
	s.put("registry.ldif", whole)
	s.configure("enforce", s.ldifRegistry())
	d := s.start()
	d.await("every home was looked at", 1)

	half := strings.LastIndex(whole, "sshPublicKey:")
	file, err := os.OpenFile(s.path("registry.ldif"), os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString(whole[:half] + "\n"); err != nil {
		t.Fatal(err)
	}
	d.await("is open for writing", 1)
	if _, err := file.WriteAt([]byte(whole[half:]), int64(half)); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	d.await("registry read", 2)
	d.stop()
	if text := user.read(t, "authorized_keys"); text != strings.Join(user.keys, "\n")+"\n" {
		t.Errorf("the file holds %q", text)
	}
}

// Who writes a file in many steps, each of which opens and closes it, is given the time to end.
func TestKeepStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		changes := make(chan struct{})
		go func() {
			for range 10 {
				time.Sleep(settle / 2)
				changes <- struct{}{}
			}
		}()
		begin := time.Now()
		keepStill(changes)
		if took, want := time.Since(begin), 10*settle/2+settle; took != want {
			t.Errorf("it waited for %v, want %v: until the last change, and a while behind it", took, want)
		}
		ended := make(chan struct{})
		go func() {
			for {
				select {
				case changes <- struct{}{}:
				case <-ended:
					return
				}
				time.Sleep(settle / 2)
			}
		}()
		begin = time.Now()
		keepStill(changes)
		if took := time.Since(begin); took != restless {
			t.Errorf("it waited for %v of changes without end, want %v", took, restless)
		}
		close(ended)
		synctest.Wait()
		close(changes)
		keepStill(changes)
	})
}
