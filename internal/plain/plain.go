// Package plain makes text that somebody else wrote fit for a log, a report or a terminal: printable ASCII, on one line.
package plain

import (
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Text escapes everything but printable ASCII as in a Go string; quotation marks stay as they are.
func Text(text string) string {
	quoted := strconv.QuoteToASCII(text)
	out := make([]byte, 0, len(quoted))
	for i := 1; i < len(quoted)-1; i++ {
		if quoted[i] == '\\' && quoted[i+1] == '"' {
			continue
		}
		out = append(out, quoted[i])
		if quoted[i] == '\\' { // the other half of an escape is no beginning of one
			i++
			out = append(out, quoted[i])
		}
	}
	return string(out)
}

// Cut is Text of at most bound bytes of the text, with "..." behind them where there are more.
func Cut(text string, bound int) string {
	if len(text) <= bound {
		return Text(text)
	}
	return Text(text[:bound]) + "..."
}

// JSON writes what is not printable ASCII in a JSON text as JSON's own escapes, so that its strings stay what they are and a
// terminal sees none that turns its text around. Outside of strings JSON is ASCII, and its newlines stay.
func JSON(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for _, r := range string(text) {
		switch {
		case r < 0x7f:
			out = utf8.AppendRune(out, r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out
}
