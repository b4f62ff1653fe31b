package main

import (
	"cmp"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
)

// bill is the part of CycloneDX 1.5 that says which modules are in programs (https://cyclonedx.org/docs/1.5/json).
type bill struct {
	Format     string      `json:"bomFormat"`
	Spec       string      `json:"specVersion"`
	Version    int         `json:"version"`
	Metadata   metadata    `json:"metadata"`
	Components []component `json:"components"`
}

type metadata struct {
	Component component `json:"component"`
}

type component struct {
	Type       string     `json:"type"`
	Ref        string     `json:"bom-ref"`
	Name       string     `json:"name"`
	Version    string     `json:"version"`
	PURL       string     `json:"purl"`
	Properties []property `json:"properties,omitempty"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// sbom lists the modules that the Go linker noted in the programs. It has neither a time nor a serial number: the same programs give the
// same bytes. The digests of go.sum are of module trees, not of files, so they are properties and no "hashes".
func sbom(paths []string) (string, error) {
	b := bill{Format: "CycloneDX", Spec: "1.5", Version: 1}
	for _, path := range paths {
		info, err := buildinfo.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("read what %s was built from: %w", path, err)
		}
		b.Metadata.Component = module("application", info.Main)
		b.add(filepath.Base(path), module("library", debug.Module{Path: "std", Version: strings.TrimPrefix(info.GoVersion, "go")}))
		for _, m := range info.Deps {
			if m.Replace != nil {
				m = m.Replace
			}
			b.add(filepath.Base(path), module("library", *m))
		}
	}
	slices.SortFunc(b.Components, func(x, y component) int { return cmp.Compare(x.PURL, y.PURL) })
	text, err := json.MarshalIndent(b, "", "  ")
	return string(text) + "\n", err
}

func module(kind string, m debug.Module) component {
	purl := fmt.Sprintf("pkg:golang/%s@%s", m.Path, strings.ReplaceAll(m.Version, "+", "%2B"))
	c := component{Type: kind, Ref: purl, Name: m.Path, Version: m.Version, PURL: purl}
	if m.Sum != "" {
		c.Properties = []property{{"go.sum", m.Sum}}
	}
	return c
}

// add names the program that has the module, once for each module.
func (b *bill) add(program string, c component) {
	at := slices.IndexFunc(b.Components, func(known component) bool { return known.PURL == c.PURL })
	if at < 0 {
		at = len(b.Components)
		b.Components = append(b.Components, c)
	}
	b.Components[at].Properties = append(b.Components[at].Properties, property{"program", program})
}
