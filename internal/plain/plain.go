// Package plain makes text that somebody else wrote fit for a log, a report or a terminal: printable ASCII, on one line.
package plain

import "strconv"

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
