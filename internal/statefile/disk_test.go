package statefile_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/statefile"
	"github.com/keyreeve/keyreeve/internal/testenv"
)

// tracedDir names the directory into which a traced child of the test writes.
const tracedDir = "KEYREEVE_TEST_TRACED"

// The bytes are on the disk before they have their name, and the name is when the call returns: the kernel is asked for both, in that order.
func TestOnTheDisk(t *testing.T) {
	if dir := os.Getenv(tracedDir); dir != "" {
		data := []byte("data")
		if err := errors.Join(statefile.Create(dir, "create", data), statefile.Replace(dir, "replace", data), replaced(statefile.Spare{Dir: dir, Name: "shared", Shared: true}, data)); err != nil {
			t.Fatal(err)
		}
		return
	}
	testenv.Need(t, "strace")
	dir := filepath.Join(t.TempDir(), "there")
	if err := errors.Join(os.Mkdir(dir, 0o750), os.Chmod(dir, 0o750|os.ModeSetgid)); err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	trace := filepath.Join(t.TempDir(), "trace")
	cmd := exec.CommandContext(t.Context(), "strace", "-f", "-y", "-qq", "-o", trace, "-e", "trace=/^(fsync|rename|link)", program, "-test.run=^TestOnTheDisk$")
	cmd.Env = append(os.Environ(), tracedDir+"="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	text, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	var calls []string
	for line := range strings.Lines(string(text)) {
		if found := regexp.MustCompile(`\b(fsync|link|rename)\w*\(.*?` + regexp.QuoteMeta(dir) + `(/\.new|/\.spare)?`).FindStringSubmatch(line); found != nil {
			calls = append(calls, found[1]+found[2])
		}
	}
	// The spare is made under its name; where there is no file yet, it cannot be exchanged with one.
	want := "fsync/.new link/.new fsync fsync/.new rename/.new fsync rename/.new fsync/.spare rename/.spare rename/.spare fsync "
	if got := strings.Join(calls, " ") + " "; got != want {
		t.Errorf("the calls are %q, want %q: %s", got, want, text)
	}
}
