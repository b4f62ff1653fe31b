package systemd_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// built is where tree is, once it is.
var built string

// tree is a copy of the repository, in which packages are made; all tests of this process share it, and TestMain removes it.
var tree = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "keyreeve-package-")
	if err != nil {
		return "", err
	}
	built = dir
	source := os.DirFS("..")
	err = fs.WalkDir(source, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if slices.Contains([]string{".git", "bin", "dist", "testdata"}, name) {
				return fs.SkipDir
			}
			return err
		}
		text, err := fs.ReadFile(source, name)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if name == "packaging/nfpm.yaml" { // to compress it takes longer than all else
			text = []byte(strings.ReplaceAll(string(text), "compression: gzip", "compression: none"))
		}
		to := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		return os.WriteFile(to, text, info.Mode().Perm())
	})
	if err == nil {
		err = run(dir, nil, "make", "build")
	}
	return dir, err
})

// made are the packages by version.
var made = struct {
	sync.Mutex

	debs map[string][]byte
}{debs: make(map[string][]byte)}

// makePackage makes the deb of a version as "make package" does, once.
func makePackage(t *testing.T, version string) []byte {
	t.Helper()
	made.Lock()
	defer made.Unlock()
	if deb, known := made.debs[version]; known {
		return deb
	}
	dir, err := tree()
	if err != nil {
		t.Fatal(err)
	}
	if err := run(dir, []string{"VERSION=" + version, "SOURCE_DATE_EPOCH=0", "FORMATS=deb"}, "packaging/build"); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "dist", "*.deb"))
	if err != nil || len(files) != 1 {
		t.Fatalf("packages: %v, %v", files, err)
	}
	deb, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	made.debs[version] = deb
	return deb
}

// saidError is how a program ended, with what it said.
type saidError struct {
	error
	said string
}

func (e saidError) Error() string { return e.error.Error() + "\n" + e.said }

func run(dir string, env []string, program string, arguments ...string) error {
	cmd := exec.Command(program, arguments...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return saidError{err, string(out)}
	}
	return nil
}

func TestMain(m *testing.M) {
	status := m.Run()
	if built != "" {
		_ = os.RemoveAll(built) // a folder below that of temporary files
	}
	os.Exit(status)
}
