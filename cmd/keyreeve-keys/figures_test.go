package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/keyreeve/keyreeve/internal/answer"
	"github.com/keyreeve/keyreeve/internal/testenv"
)

var figureUsers = flag.Int("figures", 0, "users of TestFigures, which measures then")

const figureKeys = 2

// The program says what a script that asks the directory would say, and a reader never sees half a file. "make bench-sshd" also measures what
// sshd waits for at a login, beside its peers, in one run of hyperfine; sssd runs in a mount namespace of its own, where this machine has it.
func TestFigures(t *testing.T) {
	testenv.Need(t, "root", "slapd")
	users := make([]answer.User, max(*figureUsers, 50))
	var ldif strings.Builder
	for i := range users {
		users[i] = answer.User{Name: fmt.Sprintf("u%06d", i), UID: 100000 + i}
		fmt.Fprintf(&ldif, "dn: uid=%[1]s,%[2]s\nobjectClass: account\nobjectClass: posixAccount\nobjectClass: ldapPublicKey\ncn: %[1]s\nuid: %[1]s\nuidNumber: %[3]d\ngidNumber: 100\nhomeDirectory: /home/%[1]s\n",
			users[i].Name, testenv.SlapdPeople, users[i].UID)
		for range figureKeys {
			key := newSigner(t).PublicKey()
			line := string(ssh.MarshalAuthorizedKey(key))
			users[i].Keys = append(users[i].Keys, answer.Key{Fingerprint: ssh.FingerprintSHA256(key), Line: line})
			ldif.WriteString("sshPublicKey: " + line)
		}
		ldif.WriteByte('\n')
	}
	dir, who := t.TempDir(), users[len(users)/2]
	path := put(t, time.Time{}, users...)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d users with %d keys each: the file has %.1f MB", len(users), figureKeys, float64(info.Size())/1e6)
	replaces(t, path, users)

	text := filepath.Join(dir, "keys")
	if err := os.WriteFile(text, []byte(who.Keys[0].Line+who.Keys[1].Line), 0o600); err != nil {
		t.Fatal(err)
	}
	server := testenv.StartSlapdWith(t, ldif.String(), testenv.SlapdSetup{Access: "access to * by * read\n"})
	wrapper := filepath.Join(dir, "ldapsearch.sh")
	script := fmt.Sprintf("#!/bin/sh\nldapsearch -x -LLL -o ldif-wrap=no -H %s -b %s \"(uid=$1)\" sshPublicKey | sed -n 's/^sshPublicKey: //p'\n", server.URL, testenv.SlapdPeople)
	if err := os.WriteFile(wrapper, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(dir, "reader.go")
	if err := os.WriteFile(source, []byte(readerSource), 0o600); err != nil {
		t.Fatal(err)
	}
	helper, reader := build(t, dir, "keyreeve-keys", "."), build(t, dir, "reader", source)
	as := " --file=" + path + " -- " + who.Name + " " + strconv.Itoa(who.UID)
	commands := [][2]string{
		{"a Go program that reads a small file", reader + " " + text},
		{"keyreeve-keys, all keys", helper + as},
		{"keyreeve-keys, the offered key", helper + as + " /home/x " + who.Keys[1].Fingerprint},
		{"ldapsearch and sed", wrapper + " " + who.Name},
	}
	if *figureUsers == 0 {
		same(t, commands)
		return
	}
	enter := sssd(t, dir, server, who.Name)
	if enter != nil {
		commands = append(commands, [2]string{"sss_ssh_authorizedkeys, cached", "sss_ssh_authorizedkeys " + who.Name})
	}
	hyperfine(t, enter, commands...)
}

// readerSource is the least that a Go program can do that answers sshd from a file.
const readerSource = `package main

import "os"

func main() {
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		os.Exit(1)
	}
	_, _ = os.Stdout.Write(text)
}
`

// same runs the commands, of which all but the third one say the same.
func same(t *testing.T, commands [][2]string) {
	t.Helper()
	var said []string
	for _, c := range commands {
		words := strings.Fields(c[1])
		output, err := exec.CommandContext(t.Context(), words[0], words[1:]...).Output()
		if err != nil {
			t.Fatalf("%s: %v", c[0], err)
		}
		said = append(said, string(output))
	}
	if said[0] != said[1] || said[0] != said[3] || said[2] == "" || !strings.HasSuffix(said[0], said[2]) {
		t.Errorf("%q", said)
	}
}

// build builds a program as it is delivered.
func build(t *testing.T, dir, name, what string) string {
	t.Helper()
	program := filepath.Join(dir, name)
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", program, what)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	return program
}

// replaces counts wrong answers of readers beside a writer that replaces the file again and again.
func replaces(t *testing.T, path string, users []answer.User) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var reads, wrong atomic.Int64
	stop := make(chan struct{})
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			for n := 0; ; n = (n + 7919) % len(users) {
				select {
				case <-stop:
					return
				default:
				}
				file, size, err := open(path)
				if err == nil {
					user, found, failed := answer.Find(file, size, users[n].Name, time.Now())
					if err = failed; err == nil && (!found || len(user.Keys) != figureKeys || user.Keys[0].Line != users[n].Keys[0].Line) {
						err = errors.New("another answer")
					}
					_ = file.Close()
				}
				if reads.Add(1); err != nil {
					wrong.Add(1)
				}
			}
		})
	}
	times := 20
	if *figureUsers > 0 {
		times = 415
	}
	var took []time.Duration
	for range times {
		begun := time.Now()
		if err := errors.Join(os.WriteFile(path+".new", data, 0o640), os.Rename(path+".new", path)); err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(begun))
	}
	close(stop)
	group.Wait()
	slices.Sort(took)
	t.Logf("%d replaces (median %v) beside %d readings: %d wrong answers", times, took[times/2].Round(time.Microsecond), reads.Load(), wrong.Load())
	if wrong.Load() > 0 {
		t.Error("a reader saw something else than the old file or the new one")
	}
}

// sssd starts sssd in a mount namespace of its own, and gives the words that run a program there; none without sssd.
func sssd(t *testing.T, dir string, server *testenv.Slapd, user string) (enter []string) {
	t.Helper()
	program, err := testenv.Program("sssd")
	if err != nil {
		t.Logf("sss_ssh_authorizedkeys is left out: %v", err)
		return nil
	}
	config := fmt.Sprintf(`[sssd]
domains = hpc
services = nss, ssh
config_file_version = 2
[domain/hpc]
id_provider = ldap
auth_provider = none
access_provider = permit
ldap_uri = %s
ldap_search_base = %s
ldap_user_ssh_public_key = sshPublicKey
enumerate = false
`, server.URL, server.Base)
	for _, sub := range []string{"sss", "log", "etc"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "etc", "sssd.conf"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unshare", "-m", "--propagation", "private", "sh", "-ec", fmt.Sprintf(
		"cp -a /var/lib/sss/. %[1]s/sss; mount --bind %[1]s/sss /var/lib/sss; mount --bind %[1]s/log /var/log/sssd; mount --bind %[1]s/etc /etc/sssd; mount -t tmpfs none /run; exec %[2]s -i", dir, program))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = syscall.Kill(cmd.Process.Pid, syscall.SIGTERM), cmd.Wait() })
	enter = []string{"nsenter", "-m", "-t", strconv.Itoa(cmd.Process.Pid), "--"}
	for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		output, _ := exec.CommandContext(t.Context(), enter[0], append(enter[1:], "sss_ssh_authorizedkeys", user)...).Output()
		if strings.Contains(string(output), "ssh-ed25519") {
			return enter
		}
		if time.Now().After(end) {
			t.Fatal("sssd does not answer")
		}
	}
}

// hyperfine runs the commands one after the other, 500 times each, and prints what they took. All run where sssd is, if it is.
func hyperfine(t *testing.T, enter []string, commands ...[2]string) {
	t.Helper()
	table := filepath.Join(t.TempDir(), "table.json")
	words := append(slices.Clone(enter), "hyperfine", "-N", "--style", "none", "--warmup", "30", "--runs", "500", "--export-json", table)
	for _, c := range commands {
		words = append(words, "--command-name", c[0], c[1])
	}
	if said, err := exec.CommandContext(t.Context(), words[0], words[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("hyperfine: %v: %s", err, said)
	}
	var got struct {
		Results []struct {
			Command string  `json:"command"`
			Median  float64 `json:"median"`
			Min     float64 `json:"min"`
			Max     float64 `json:"max"`
		} `json:"results"`
	}
	data, err := os.ReadFile(table)
	if err := errors.Join(err, json.Unmarshal(data, &got)); err != nil {
		t.Fatal(err)
	}
	first := got.Results[0].Median
	for _, r := range got.Results {
		t.Logf("%-42s median %5.2f ms, min %5.2f, max %6.2f, %5.2f times the first", r.Command, r.Median*1000, r.Min*1000, r.Max*1000, r.Median/first)
	}
}
