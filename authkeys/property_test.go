package authkeys_test

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/keyreeve/keyreeve/authkeys"
)

// spelling is one way to write a key line that sshd reads the same way.
type spelling struct {
	options, canonical string
	kind, encoded      string
	rest               string // comment, or NUL and junk
}

// drawOptions draws items, some of them empty, in a wild spelling and in the canonical one.
func drawOptions(t *rapid.T) (wild, canonical string) {
	names := []string{"restrict", "no-pty", "pty", "user-rc", "no-touch-required", "cert-authority", "x11-forwarding"}
	var wilds, plain []string
	for range rapid.IntRange(0, 4).Draw(t, "items") {
		var item string
		switch rapid.IntRange(0, 3).Draw(t, "kind of item") {
		case 0:
			wilds = append(wilds, "")
			continue
		case 1:
			value := rapid.StringOf(rapid.RuneFrom([]rune("ab \t,#é=/'"))).Draw(t, "value")
			item = `environment="N=` + strings.Join(strings.Split(value, "'"), `\"`) + `"`
		default:
			item = rapid.SampledFrom(names).Draw(t, "flag")
		}
		plain = append(plain, item)
		if !strings.Contains(item, "=") && rapid.Bool().Draw(t, "capitals") {
			item = strings.ToUpper(item)
		}
		wilds = append(wilds, item)
	}
	if len(wilds) == 0 {
		return "", ""
	}
	wild = strings.Join(wilds, ",")
	if wild == "" {
		wild = ","
	}
	return wild, strings.Join(plain, ",")
}

// drawSpelling draws a spelling of one of the keys.
func drawSpelling(t *rapid.T, key authkeys.Key) spelling {
	s := spelling{kind: key.Type()}
	if s.kind == "ssh-rsa" {
		s.kind = rapid.SampledFrom([]string{"ssh-rsa", "rsa-sha2-256", "rsa-sha2-512"}).Draw(t, "type")
	}
	s.options, s.canonical = drawOptions(t)
	encoded := base64.StdEncoding.EncodeToString(key.Wire())
	for range rapid.IntRange(0, 3).Draw(t, "holes") {
		at := rapid.IntRange(0, len(encoded)).Draw(t, "at")
		encoded = encoded[:at] + rapid.SampledFrom([]string{"\v", "\f", "\r", "\r\v\f"}).Draw(t, "hole") + encoded[at:]
	}
	s.encoded = encoded
	s.rest = rapid.SampledFrom([]string{"", " note", "\t", "\x00", "\x00 " + keyA, " \x00\xff"}).Draw(t, "rest")
	return s
}

// However a key is spelled, its line is an Entry with that key and the canonical options.
func TestPropertySpellings(t *testing.T) {
	byName := testKeys(t)
	names := []string{"A", "B", "R2048", "RE1", "DSA", "E256", "E521", "SKED", "SKEC", "MLDSA"}
	rapid.Check(t, func(t *rapid.T) {
		key := byName[rapid.SampledFrom(names).Draw(t, "key")]
		s := drawSpelling(t, key)
		blanks := rapid.SampledFrom([]string{" ", "\t", " \t "}).Draw(t, "blanks")
		words := []string{s.kind, s.encoded + s.rest}
		if s.options != "" {
			words = slices.Insert(words, 0, s.options)
		}
		text := rapid.SampledFrom([]string{"", " ", "\t"}).Draw(t, "margin") + strings.Join(words, blanks)
		l := authkeys.Parse([]byte(text))[0]
		if l.Kind != authkeys.Entry || l.Key != key || l.Options.String() != s.canonical {
			t.Fatalf("%q: %s %v options %q (%v), want options %q", text, l.Kind, l.Key, l.Options, l.Err, s.canonical)
		}
		if out := string(l.AppendTo(nil)); strings.ContainsAny(out, "\x00\v\f\r") || !utf8.ValidString(out) {
			t.Fatalf("%q is written with bytes that were only read", text)
		}
	})
}

// Reading is local: the lines of two texts one after the other are the lines of both.
func TestPropertyLinesAreIndependent(t *testing.T) {
	piece := rapid.SampledFrom([]string{"\n", "\r", "\x00", " ", "#", "\"", keyA, "restrict ", "foo", "command=\"x\"", ","})
	draw := rapid.Map(rapid.SliceOf(piece), func(pieces []string) string { return strings.Join(pieces, "") })
	rapid.Check(t, func(t *rapid.T) {
		first, second := draw.Draw(t, "first")+"\n", draw.Draw(t, "second")
		whole := authkeys.Parse([]byte(first + second))
		parts := slices.Concat(authkeys.Parse([]byte(first)), authkeys.Parse([]byte(second)))
		if len(whole) != len(parts) {
			t.Fatalf("%d lines, in parts %d", len(whole), len(parts))
		}
		for i := range whole {
			if whole[i].Kind != parts[i].Kind || whole[i].Key != parts[i].Key || whole[i].Raw != parts[i].Raw {
				t.Fatalf("line %d: %+v, in parts %+v", i+1, whole[i], parts[i])
			}
		}
	})
}
