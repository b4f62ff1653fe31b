// Package systemd_test plays the units on a systemd, with what "make package" makes.
package systemd_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// units are those that look at homes.
var units = []string{"keyreeve.service", "keyreeve-plan.service"}

// lines are those of a unit or a drop-in.
func lines(t *testing.T, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(text), "\n")
}

// What sshd reads must be what the daemon sees. These settings of systemd.exec(5) hide a place that users can write to, put another one there, or
// keep mounts from coming through; those that only make the system read-only hide nothing. PrivateMounts is none of them: TestRemoval shows it.
func TestUnitSeesTheMountsOfSSHD(t *testing.T) {
	hiding := []string{
		"PrivateTmp", "ProtectHome", "TemporaryFileSystem", "InaccessiblePaths", "InaccessibleDirectories", "DynamicUser", "PrivateUsers",
		"RootDirectory", "RootImage", "RootEphemeral", "MountAPIVFS", "MountFlags", "BindPaths", "BindReadOnlyPaths", "ExtensionImages", "ExtensionDirectories",
		"MountImages", "JoinsNamespaceOf",
	}
	files, err := filepath.Glob("keyreeve.service.d/*.conf")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, path := range append(files, units...) {
		for _, line := range lines(t, path) {
			if name, value, _ := strings.Cut(line, "="); slices.Contains(hiding, name) && value != "no" {
				t.Errorf("%s: %s", path, line)
			}
		}
	}
}

// Why a line stands in a unit, or what it does here, stands above it or above the lines with which it belongs together.
func TestUnitsExplainThemselves(t *testing.T) {
	for _, path := range units {
		inside, before := false, ""
		for _, line := range lines(t, path) {
			if strings.HasPrefix(line, "[") {
				inside = line == "[Service]"
			}
			if setting := line != "" && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "["); inside && setting && before == "" {
				t.Errorf("%s: nothing says why: %s", path, line)
			}
			before = line
		}
	}
}

// The daily report may do no more than the daemon: its rights and its sandbox are the daemon's, or narrower.
func TestPlanUnitIsNoWider(t *testing.T) {
	daemon, mine := lines(t, units[0]), lines(t, units[1])
	sandbox := regexp.MustCompile(`^(CapabilityBoundingSet|AmbientCapabilities|NoNewPrivileges|Protect|Private|ProcSubset|Restrict|LockPersonality|SystemCall|MemoryDeny|UMask)`)
	for _, line := range daemon {
		if sandbox.MatchString(line) && !slices.Contains(mine, line) && line != "RestrictSUIDSGID=no" {
			t.Errorf("the report's unit lacks %s", line)
		}
	}
}

// Who makes the sandbox wider, or systemd finds it wider, has to say so in docs/DESIGN.md, where each point of the rest has its reason.
func TestExposure(t *testing.T) {
	testenv.Need(t, "systemd")
	for unit, most := range map[string]float64{"keyreeve.service": 2.7, "keyreeve-plan.service": 2.5} {
		path := filepath.Join(t.TempDir(), unit) // a drop-in beside it would count
		text := strings.ReplaceAll(strings.Join(lines(t, unit), "\n"), "/usr/bin/keyreeve", "/bin/true")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, words := range [][]string{{"verify", "--man=no", path}, {"security", "--offline=true", "--no-pager", path}} {
			out, err := exec.Command("systemd-analyze", words...).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %v\n%s", words, err, out)
			}
			if words[0] == "verify" {
				if len(out) > 0 {
					t.Errorf("%s: %s", unit, out)
				}
				continue
			}
			found := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`).FindSubmatch(out)
			if found == nil {
				t.Fatalf("%s", out)
			}
			if exposure, err := strconv.ParseFloat(string(found[1]), 64); err != nil || exposure > most {
				t.Errorf("%s: the exposure is %s, want %.1f at most\n%s", unit, found[1], most, out)
			}
		}
	}
}
