package packaging

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// The pages are clean to both readers of them.
func manualPages(b built) {
	t := b.T
	testenv.Need(t, "mandoc")
	pages, err := filepath.Glob(filepath.Join(b.root, "usr/share/man/man?/*.gz"))
	if err != nil || len(pages) != 4 {
		t.Fatal(pages, err)
	}
	for _, page := range pages {
		plain := filepath.Join(t.TempDir(), strings.TrimSuffix(filepath.Base(page), ".gz"))
		must(t, "", nil, "sh", "-c", `gunzip <"$0" >"$1"`, page, plain)
		if out, err := run("", nil, "mandoc", "-Tlint", plain); err != nil || out != "" {
			t.Errorf("mandoc: %v\n%s", err, out)
		}
		if out := must(t, "", []string{"LC_ALL=C.UTF-8", "MANWIDTH=80"}, "sh", "-c", `man --warnings -E UTF-8 -l -Tutf8 -Z "$0" 2>&1 >/dev/null`, plain); out != "" {
			t.Errorf("man: %s: %s", page, out)
		}
		if text := string(read(t, plain)); !strings.HasPrefix(text, ".TH KEYREEVE") || !strings.Contains(text, `"2026-02-03" "keyreeve 1.2.3"`) {
			t.Errorf("%s begins with %.80q", page, text)
		}
	}
}

// The program knows the tag and the commit that it was built of.
func version(b built) {
	t := b.T
	commit := strings.TrimSpace(must(t, b.tree, nil, "git", "rev-parse", "HEAD"))
	out := must(t, "", nil, filepath.Join(b.root, "usr/bin/keyreeve"), "version")
	if want := "keyreeve v1.2.3\ncommit " + commit + " 2026-02-03T04:05:06Z\ngo1."; !strings.HasPrefix(out, want) {
		t.Errorf("version says\n%s, which does not begin with\n%s", out, want)
	}
	if name := filepath.Base(b.deb); !strings.HasPrefix(name, "keyreeve_1.2.3-1_") {
		t.Errorf("the package is %s", name)
	}
}

// Each version is newer than the one before it, to dpkg and to rpm.
func TestVersionsAreInOrder(t *testing.T) {
	testenv.Need(t, "packages", "rpm")
	last := "0~"
	for _, of := range []string{
		"(devel)", "v0.0.0-20260203040506-0123456789ab", "v0.0.0-20260203040507-000000000000", "v0.9.0-rc.1", "v0.9.0-rc.1.0.20260203040506-0123456789ab", "v0.9.0",
		"v0.9.1-0.20260203040506-0123456789ab", "v0.9.1-0.20260203040506-0123456789ab+dirty", "v0.9.1", "v0.10.0",
	} {
		got := strings.TrimSpace(must(t, "", nil, "./version", of))
		if _, err := run("", nil, "dpkg", "--compare-versions", got, "gt", last); err != nil {
			t.Errorf("dpkg: %s, which is %s, is not after %s: %v", of, got, last, err)
		}
		if out := must(t, "", nil, "rpm", "--eval", `%{lua: print(rpm.vercmp("`+got+`", "`+last+`"))}`); out != "1\n" {
			t.Errorf("rpm: %s, which is %s, is not after %s: %s", of, got, last, out)
		}
		last = got
	}
}

// The bill of materials names every module that the Go linker put into the programs, in its version.
func bill(b built) {
	t := b.T
	var got struct {
		Format     string `json:"bomFormat"`
		Components []struct {
			Name    string `json:"name"`
			Version string `json:"version"`
			PURL    string `json:"purl"`
		} `json:"components"`
	}
	if err := json.Unmarshal(read(t, filepath.Join(b.root, "usr/share/doc/keyreeve/sbom.cdx.json")), &got); err != nil || got.Format != "CycloneDX" {
		t.Fatal(got, err)
	}
	listed := make(map[string]bool)
	for _, c := range got.Components {
		listed[c.Name+" "+c.Version] = c.PURL == "pkg:golang/"+c.Name+"@"+c.Version
	}
	modules := 0
	for _, program := range []string{"usr/bin/keyreeve", "usr/libexec/keyreeve/keyreeve-keys"} {
		for line := range strings.Lines(must(t, "", nil, "go", "version", "-m", filepath.Join(b.root, program))) {
			if f := strings.Fields(line); f[0] == "dep" {
				modules++
				if !listed[f[1]+" "+f[2]] {
					t.Errorf("%s has %s %s, and the bill does not", program, f[1], f[2])
				}
			}
		}
	}
	if modules < 10 || len(listed) > modules+1 {
		t.Errorf("%d modules, %d of them listed", modules, len(listed))
	}
}

// completes asks a shell what "keyreeve regis" and "keyreeve plan --form" could become. The script finds PATH, where keyreeve is, and as $0 the file.
func completes(t *testing.T, b built, file string, shell ...string) {
	t.Helper()
	for typed, want := range map[string]string{"regis": "registry", "plan --form": "--format"} {
		env := []string{"PATH=" + filepath.Join(b.root, "usr/bin") + ":" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
		args := append(append([]string{}, shell[1:]...), filepath.Join(b.root, file), typed)
		if out := must(t, "", env, shell[0], args...); !strings.HasPrefix(out, want) {
			t.Errorf("%s makes %q of %q", shell[0], out, typed)
		}
	}
}

func bash(b built) {
	t := b.T
	testenv.Need(t, "bash-completion")
	completes(t, b, "usr/share/bash-completion/completions/keyreeve", "bash", "--norc", "-c", `
		. `+testenv.BashCompletion+`; . "$0"
		compopt() { :; } # bash lets nobody call it but itself
		COMP_LINE="keyreeve $1"; COMP_POINT=${#COMP_LINE}; COMP_WORDS=($COMP_LINE); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMP_TYPE=9
		__start_keyreeve; printf "%s\n" "${COMPREPLY[@]}"`)
}

// zsh's own part, which shows what there is to choose, needs a terminal: it says instead what it was given.
func zsh(b built) {
	t := b.T
	testenv.Need(t, "zsh")
	completes(t, b, "usr/share/zsh/vendor-completions/_keyreeve", "zsh", "-f", "-c", `
		autoload -U compinit; compinit -u -D
		. "$0"
		_describe() { print -l -- $completions }
		words=(keyreeve ${=1}); CURRENT=$#words
		_keyreeve`)
}

func fish(b built) {
	t := b.T
	testenv.Need(t, "fish")
	completes(t, b, "usr/share/fish/vendor_completions.d/keyreeve.fish", "fish", "--no-config", "-c", `source $argv[1]; complete -C "keyreeve $argv[2]"`)
}
