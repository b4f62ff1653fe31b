package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// keyreeve-keys(8) tells of every flag that the program takes.
func TestManualNamesEveryFlag(t *testing.T) {
	page, err := os.ReadFile("../../packaging/man/keyreeve-keys.8.md")
	if err != nil {
		t.Fatal(err)
	}
	flags := make(map[string]bool)
	for _, file := range []string{"main.go", "gate.go"} {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?:==|case|&&) "(--[a-z]+)"`).FindAllStringSubmatch(string(source), -1) {
			flags[m[1]] = true
		}
	}
	if len(flags) < 6 {
		t.Errorf("the flags are %v", flags)
	}
	for flag := range flags {
		if !strings.Contains(string(page), "\n| `"+flag) {
			t.Errorf("keyreeve-keys(8) does not tell of %s", flag)
		}
	}
}
