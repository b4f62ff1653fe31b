package pasted

import (
	"encoding/base64"
	"html"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// stage is a text after some repairs, and the last of them that changed something.
type stage struct {
	text string
	by   Code
}

// repaired gives the text as it can be read, then after each further repair that changes it. A repair undoes what one kind of program does
// to a text, and is tried only where the text before it holds no key: so it need not know whether it is due.
func repaired(raw []byte) []stage {
	text, by := cleaned(raw)
	stages := []stage{{text, by}}
	for _, r := range []struct {
		by Code
		do func(string) string
	}{
		{QuotedLines, unquoteMail},
		{Escaped, unescape},
		{HTML, unHTML},
		{QuotedPrintable, unQuotedPrintable},
		{URLEncoded, unURL},
		{Base64URL, unBase64URL},
		{Base64Twice, unBase64},
	} {
		if next := r.do(text); next != text {
			text = next
			stages = append(stages, stage{text, r.by})
		}
	}
	return stages
}

// cleaned makes a text readable: characters of one byte, no signs that nobody sees, no quotation marks and dashes of a word processor.
func cleaned(raw []byte) (string, Code) {
	by := Spelling
	text, is := fromUTF16(raw)
	if is {
		by = UTF16
	} else {
		text = fromBytes(raw)
	}
	seen := strings.Map(visible, controls.ReplaceAllString(text, ""))
	if (seen != text || !is && text != string(raw)) && by == Spelling {
		by = Invisible
	}
	straight := uncorrected(seen)
	if straight != seen && by == Spelling {
		by = Autocorrect
	}
	return straight, by
}

// fromUTF16 decodes what Windows calls "Unicode": by its mark (RFC 2781 section 3.2), or because every second byte is NUL.
func fromUTF16(raw []byte) (string, bool) {
	big := len(raw) > 1 && raw[0] == 0xfe && raw[1] == 0xff
	little := len(raw) > 1 && raw[0] == 0xff && raw[1] == 0xfe
	if !big && !little {
		var zeros [2]int
		for i, b := range raw[:min(len(raw), 512)] {
			if b == 0 {
				zeros[i%2]++
			}
		}
		most := min(len(raw), 512) / 2 * 9 / 10
		big, little = zeros[0] > most && zeros[1] == 0, zeros[1] > most && zeros[0] == 0
	}
	if !big && !little {
		return "", false
	}
	units := make([]uint16, len(raw)/2)
	for i := range units {
		low, high := raw[2*i], raw[2*i+1]
		if big {
			low, high = high, low
		}
		units[i] = uint16(high)<<8 | uint16(low)
	}
	return strings.TrimPrefix(string(utf16.Decode(units)), "\ufeff"), true
}

// fromBytes reads bytes that are no UTF-8 as Windows' own code page does, as far as it has quotation marks, dashes and blanks.
func fromBytes(raw []byte) string {
	if utf8.Valid(raw) {
		return string(raw)
	}
	var b strings.Builder
	for len(raw) > 0 {
		r, size := utf8.DecodeRune(raw)
		if r == utf8.RuneError && size == 1 {
			if i := strings.IndexByte("\x91\x92\x93\x94\x96\x97\xa0", raw[0]); i >= 0 {
				r = []rune("‘’“”–— ")[i]
			}
		}
		b.WriteRune(r)
		raw = raw[size:]
	}
	return b.String()
}

// controls are the sequences by which a terminal colours text (ECMA-48 section 5.4).
var controls = regexp.MustCompile(`\x1b\[[0-?]*[ -/]*[@-~]`)

// visible drops what nobody sees, and makes every blank one of ASCII.
func visible(r rune) rune {
	switch {
	case r == '\n' || r == '\r' || r == '\t':
		return r
	case r == '\u2028' || r == '\u2029' || r == '\u0085' || r == '\v' || r == '\f':
		return '\n'
	case unicode.Is(unicode.Zs, r):
		return ' '
	case unicode.In(r, unicode.Cc, unicode.Cf):
		return -1
	}
	return r
}

// uncorrected undoes what word processors and telephones put in the place of ASCII.
func uncorrected(text string) string {
	return strings.NewReplacer(
		"\u2018", "'", "\u2019", "'", "\u201a", "'", "\u2032", "'",
		"\u201c", `"`, "\u201d", `"`, "\u201e", `"`, "\u00ab", `"`, "\u00bb", `"`, "\u2033", `"`,
		"\u2010", "-", "\u2011", "-", "\u2012", "-", "\u2013", "-", "\u2212", "-", "\u2014", "--", "\u2015", "--",
		"\uff0b", "+", "\uff0f", "/", "\uff1d", "=",
	).Replace(text)
}

// quoteMarks begin the lines of an answered mail.
var quoteMarks = regexp.MustCompile(`(?m)^[ \t]*(?:[>|][ \t]?)+`)

func unquoteMail(text string) string { return quoteMarks.ReplaceAllString(text, "") }

// unescape undoes the escapes of JSON and of a shell's continued lines.
func unescape(text string) string {
	return strings.NewReplacer("\\\r\n", "", "\\\n", "", `\r`, "\n", `\n`, "\n", `\/`, "/", `\u002b`, "+", `\u002B`, "+", `\u003d`, "=", `\u003D`, "=", `\"`, `"`).Replace(text)
}

// tags are those of HTML. The bound keeps "<" in a text without ">" from costing anything.
var tags = regexp.MustCompile(`<[A-Za-z/!][^<>]{0,200}>`)

func unHTML(text string) string {
	return strings.Map(visible, html.UnescapeString(tags.ReplaceAllString(text, "\n")))
}

// hexadecimal escapes.
var (
	softBreak = regexp.MustCompile(`=[ \t]*\r?\n`)
	equalsHex = regexp.MustCompile(`=[0-9A-F]{2}`)
	perCent   = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)
	formWord  = regexp.MustCompile(`(?:^|[=&\s])(?:ssh|ecdsa|sk)-[a-z0-9-]+(?:(?:@|%40)openssh\.com)?\+AAAA`)
)

// unQuotedPrintable decodes RFC 2045 section 6.7. The padding of base64 ends its lines too; a break behind it is left alone.
func unQuotedPrintable(text string) string {
	if !strings.Contains(text, "=3D") && !softBreak.MatchString(text) {
		return text
	}
	return equalsHex.ReplaceAllStringFunc(softBreak.ReplaceAllString(text, ""), func(s string) string { return string(rune(unhex(s))) })
}

// unURL decodes per cent signs (RFC 3986 section 2.1) and, where a blank is written so, the "+" of forms.
func unURL(text string) string {
	if formWord.MatchString(text) {
		text = strings.ReplaceAll(text, "+", " ")
	}
	return perCent.ReplaceAllStringFunc(text, func(s string) string { return string(rune(unhex(s))) })
}

// unhex gives the byte of "=3D" or "%3d".
func unhex(escape string) (b byte) {
	for _, c := range []byte(strings.ToLower(escape[1:])) {
		b = b<<4 | byte(strings.IndexByte("0123456789abcdef", c)) //nolint:gosec // the patterns let nothing else through
	}
	return b
}

// urlSafe finds base64 of the other alphabet (RFC 4648 section 5) behind the beginning of a key.
var urlSafe = regexp.MustCompile(`AAAA[A-Za-z0-9_-]{40,}`)

func unBase64URL(text string) string {
	return urlSafe.ReplaceAllStringFunc(text, strings.NewReplacer("-", "+", "_", "/").Replace)
}

// twice finds the base64 of "ssh-", "ecdsa-" and "sk-", as LDIF has after "::" (RFC 2849).
var twice = regexp.MustCompile(`(?:c3NoL|ZWNkc2Et|c2st)[A-Za-z0-9+/\s]{60,}={0,2}`)

func unBase64(text string) string {
	return twice.ReplaceAllStringFunc(text, func(s string) string {
		decoded, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(strings.Join(strings.Fields(s), ""), "="))
		if err != nil {
			return s
		}
		return strings.Map(visible, strings.ToValidUTF8(string(decoded), "?"))
	})
}
