package testenv

import (
	"os"
	"testing"
)

// RootDir makes a directory in which every user may search, and in which, as in all that is above it, root alone can write; it goes when the test ends. Whoever
// runs a program of root's wants it there; anybody may write to the folder above tb.TempDir. It needs the part "root".
func RootDir(tb testing.TB) string {
	tb.Helper()
	Need(tb, "root")
	dir, err := os.MkdirTemp(accountsDir, "keyreeve-test-") //nolint:usetesting // see above
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil { //nolint:forbidigo // test folders are no state of the daemon
			tb.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec,forbidigo // every user may search
		tb.Fatal(err)
	}
	return dir
}
