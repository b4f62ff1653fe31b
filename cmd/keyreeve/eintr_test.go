package main

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// A call that a signal cut off is made again (network and FUSE file systems return EINTR): here every first one. .ssh is root's,
// so that it has to be made anew.
func TestApplyIsCutOff(t *testing.T) {
	testenv.Need(t, "root", "strace")
	_, keys := vectors(t)
	for _, call := range []string{"fchmod", "fchmodat", "mkdirat", "renameat2"} {
		t.Run(call, func(t *testing.T) {
			s := newSite(t)
			user := s.newMember(1, keys["A"])
			user.write(t, "authorized_keys", keys["A"]+"\n"+keys["B"]+"\n")
			if err := errors.Join(os.Chown(user.file(""), 0, 0), os.Chmod(user.file(""), 0o755), os.Chmod(user.file("authorized_keys"), 0o644)); err != nil {
				t.Fatal(err)
			}
			s.put("registry.ldif", entries(user))
			s.configure("enforce", s.ldifRegistry())
			trace := s.path("trace")
			out, err := exec.Command("strace", "-f", "-qq", "-o", trace, "-e", "trace="+call, "-e", "inject="+call+":error=EINTR:when=1+2",
				"keyreeve", "apply", "--config", s.path("keyreeve.yaml")).CombinedOutput()
			if err != nil {
				t.Errorf("%v: %s", err, out)
			}
			if got := user.read(t, "authorized_keys"); got != keys["A"]+"\n" {
				t.Errorf("the file holds %q", got)
			}
			if text, err := os.ReadFile(trace); err != nil || !strings.Contains(string(text), "(INJECTED)") {
				t.Errorf("nothing was cut off: %v %s", err, text)
			}
		})
	}
}
