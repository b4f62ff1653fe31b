package homes

import (
	"flag"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// insiders are the tests that a Door in another process does not pass, and why.
// All the others are run against it.
var insiders = map[string]string{
	"TestAsHasTheUsersRightsOnly":       "As runs a function, which no pipe carries",
	"TestAsHasTheUsersGroups":           "as above",
	"TestGroupsThatAreNotKnown":         "the groups come from a function",
	"TestHandOfRootHasNoCapability":     "it runs a function, too",
	"TestUnveil":                        "as above",
	"TestWatchThatIsStuck":              "as above",
	"TestDirectoryThatIsShutAgain":      "as above",
	"TestStuckBesideManyHomes":          "it fills a list of the Door",
	"TestOtherThreadsStayRoot":          "as above",
	"TestFirstThreadStaysRoot":          "as above",
	"TestLastLook":                      "it stops in the midst of a change",
	"TestFlatDirectoryWithANewFile":     "as above",
	"TestNewFileWithASecondName":        "as above",
	"TestDiscardSparesTheUsersFile":     "as above",
	"TestNoDescriptorLeft":              "it takes descriptors from the process of the Door",
	"TestDisplacedIsTold":               "it asks for more of an error than a pipe carries",
	"TestAsReportsHowItsWorkEnded":      "as above",
	"TestProcessOfAUserServesItsOwnUID": "it is about a process that has no right at all",
	"TestSift":                          "it shows files to a function",
	"TestSiftWipes":                     "as above",
	"TestSiftFollowsLinks":              "it shows files to a function",
	"TestSiftTellsWhatItDoesNotSee":     "it shows files to a function",
	"TestSiftWaitsForNothing":           "it shows files to a function",
	"TestSiftIsGivenUp":                 "it shows files to a function",
	"TestSiftIsBounded":                 "it shows files to a function",
	"TestSiftOfWhatIsExchanged":         "it shows files to a function",
	"TestSuiteUnderTwoCapabilities":     "it runs the others",
	"TestSuiteUnderGuardRoot":           "it runs the others",
}

// ownersOnly are the tests of what holds for files that are their users' only.
var ownersOnly = map[string]string{
	"TestWriterKeepsTheFileWhoseModeIsPutRight": "a file of root's takes the place of one that its user has open",
}

// The hostile tests pass against a Door whose process holds what the daemon's
// unit leaves, and nothing else.
func TestSuiteUnderTwoCapabilities(t *testing.T) {
	if left := confinement(t, "unit"); !slices.Equal(left, []int{unix.CAP_SETGID, unix.CAP_SETUID}) {
		t.Errorf("the unit leaves the capabilities %v", left)
	}
	suite(t, "unit", insiders)
}

// They pass where root owns what the Door writes, too, with what the unit and its
// drop-in leave.
func TestSuiteUnderGuardRoot(t *testing.T) {
	if left := confinement(t, "guard"); !slices.Equal(left, []int{unix.CAP_DAC_OVERRIDE, unix.CAP_SETGID, unix.CAP_SETUID}) {
		t.Errorf("the unit and its drop-in leave the capabilities %v", left)
	}
	without := maps.Clone(insiders)
	maps.Copy(without, ownersOnly)
	suite(t, "guard", without)
}

// suite runs all tests but some once more, against a Door of the mode.
func suite(t *testing.T, mode string, without map[string]string) {
	t.Helper()
	testenv.Need(t, "root", "mount", "ext4", "xfs", "btrfs", "overlay", "fuse") // nothing may be left out
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	run := func(arguments ...string) string {
		child := exec.CommandContext(t.Context(), self, arguments...)
		child.Env = append(os.Environ(), doorMode+"="+mode)
		out, err := child.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	names := strings.Fields(run("-test.list=^Test"))
	for name := range without {
		if !slices.Contains(names, name) {
			t.Errorf("%s is left out and no test", name)
		}
	}
	skip := "^(" + strings.Join(slices.Sorted(maps.Keys(without)), "|") + ")$"
	out := run("-test.v", "-test.shuffle="+flag.Lookup("test.shuffle").Value.String(), "-test.skip="+skip, "-test.timeout=5m")
	if strings.Contains(out, "--- SKIP") {
		t.Errorf("a test was skipped\n%s", out)
	}
	passed := strings.Count(out, "\n--- PASS")
	if want := len(names) - len(without); passed != want {
		t.Errorf("%d tests passed, want %d\n%s", passed, want, out)
	}
	t.Logf("%d tests passed", passed)
}
