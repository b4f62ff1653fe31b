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
	"TestOtherThreadsStayRoot":          "as above",
	"TestFirstThreadStaysRoot":          "as above",
	"TestAsReportsHowItsWorkEnded":      "as above",
	"TestAsHasTheUsersGroups":           "as above",
	"TestGroupsThatAreNotKnown":         "the groups come from a function",
	"TestHandOfRootHasNoCapability":     "it runs a function, too",
	"TestProcessOfAUserServesItsOwnUID": "it is about a process that has no right at all",
	"TestSuiteUnderTwoCapabilities":     "it runs the others",
}

// The hostile tests pass against a Door whose process holds what the daemon's
// unit leaves, and nothing else.
func TestSuiteUnderTwoCapabilities(t *testing.T) {
	if left := confinement(t, "unit"); !slices.Equal(left, []int{unix.CAP_SETGID, unix.CAP_SETUID}) {
		t.Errorf("the unit leaves the capabilities %v", left)
	}
	suite(t, "unit")
}

// suite runs all tests but the insiders once more, against a Door of the mode.
func suite(t *testing.T, mode string) {
	t.Helper()
	testenv.Need(t, "root", "mount") // nothing may be left out
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
	for name := range insiders {
		if !slices.Contains(names, name) {
			t.Errorf("%s is an insider and no test", name)
		}
	}
	skip := "^(" + strings.Join(slices.Sorted(maps.Keys(insiders)), "|") + ")$"
	out := run("-test.v", "-test.shuffle="+flag.Lookup("test.shuffle").Value.String(), "-test.skip="+skip, "-test.timeout=5m")
	if strings.Contains(out, "--- SKIP") {
		t.Errorf("a test was skipped\n%s", out)
	}
	passed := strings.Count(out, "\n--- PASS")
	if want := len(names) - len(insiders); passed != want {
		t.Errorf("%d tests passed, want %d\n%s", passed, want, out)
	}
	t.Logf("%d tests passed", passed)
}
