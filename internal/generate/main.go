// Command generate prints what is made of the source and of the built programs: a page for man(1), config.md, which is the reference of the
// configuration in docs, or the bill of materials of programs (CycloneDX).
//
//	go run ./internal/generate config.md >docs/config.md
//	go run ./internal/generate -keyreeve bin/keyreeve -date 2026-11-26 -version 1.2.0 keyreeve.8
//	go run ./internal/generate sbom bin/keyreeve bin/keyreeve-keys
//
// It runs in the root of the source. The texts are of configs/keyreeve.yaml, of what the program says of its commands, of
// docs/audit.md, and of packaging/man; internal/manual puts them together.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/keyreeve/keyreeve/internal/manual"
)

func main() {
	program := flag.String("keyreeve", "bin/keyreeve", "the program that is asked for its commands")
	date := flag.String("date", "", "the date of the page")
	version := flag.String("version", "", "the version of the program")
	flag.Parse()
	text, err := generate(flag.Arg(0), manual.Page{Date: *date, Version: *version}, *program)
	if err == nil {
		_, err = os.Stdout.WriteString(text)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "generate: %v\n", err)
		os.Exit(1)
	}
}

func generate(name string, p manual.Page, program string) (string, error) {
	var text string
	var err error
	switch name {
	case "config.md":
		return reference()
	case "sbom":
		return sbom(flag.Args()[1:])
	case "keyreeve.8":
		p.Purpose = "keep users' authorized_keys in line with the key registry"
		text, err = commands(program)
	case "keyreeve-keys.8":
		p.Purpose = "tell sshd the keys of a user, or whether a session may begin"
		text, err = read("packaging/man/keyreeve-keys.8.md")
	case "keyreeve.yaml.5":
		p.Purpose = "configuration of keyreeve"
		text, err = reference()
	case "keyreeve-audit.5":
		p.Purpose = "audit trail of keyreeve"
		text, err = read("docs/audit.md")
	default:
		err = errors.New("there is no such page")
	}
	if err != nil {
		return "", fmt.Errorf("make %s: %w", name, err)
	}
	p.Name, p.Section = name[:len(name)-2], name[len(name)-1:]
	return manual.Roff(p, text), nil
}

func read(path string) (string, error) {
	data, err := os.ReadFile(path) //nolint:gosec // a document of the source
	return string(data), err
}

// reference is docs/config.md.
func reference() (string, error) {
	const path = "configs/keyreeve.yaml"
	example, err := read(path)
	if err != nil {
		return "", err
	}
	text, err := manual.Config(path, []byte(example))
	return "# The configuration\n\n<!-- Made of configs/keyreeve.yaml by \"make docs\": change that one. -->\n" + text, err
}

// commands is the page of the program, with its commands where the text has a line of dots.
func commands(program string) (string, error) {
	text, err := read("packaging/man/keyreeve.8.md")
	if err != nil {
		return "", err
	}
	list, err := manual.Commands("keyreeve", func(args ...string) (string, error) {
		out, err := exec.CommandContext(context.Background(), program, args...).Output() //nolint:gosec // the program that was built
		return string(out), err
	})
	return strings.Replace(text, "\n...\n", list, 1), err
}
