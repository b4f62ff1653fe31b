package pasted_test

import (
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/pasted"
)

// A web form hands on what anybody sends: no text of the most bytes that are looked at costs more than a moment.
func TestExamineIsCheap(t *testing.T) {
	a := keys(t)["A"]
	for name, unit := range map[string]string{
		"beginnings": "AAAAB3NzaC1yc2EAAAADAQABAAACAQDj", "beginnings with blanks": "AAAAB3NzaC1yc2E AAAADAQABAAACAQDj ", "A": "A", "cut": a[:70] + "\n", "keys": a + "\n",
		"certificates": "AAAAIHNzaC1lZDI1NTE5LWNlcnQtdjAxQG9wZW5zc2guY29t", "tags": "<a", "marks": "> ", "escapes": "=3D%3D&#43;", "BEGIN": "-----BEGIN A", "dashes": "-", "base64": "c3NoLWVkMjU1MTkg",
		"SSH 1": "1024 65537 12", "colons": "aa:", "words": "ssh-rsa ", "controls": "\x1b[0", "names": "/", "frames": "+--[A]--+\n", "types": "ssh-quantum AAAA",
	} {
		text := []byte(strings.Repeat(unit, pasted.MaxSize/len(unit)))
		began := time.Now()
		pasted.Examine(text)
		// Some milliseconds where nothing else runs; the bound is for a busy machine, and far below what a square of the size costs.
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s: %v", name, took)
		} else {
			t.Logf("%s: %v", name, took)
		}
	}
}
