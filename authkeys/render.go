package authkeys

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds on what is written, in bytes.
const (
	maxLine    = 8 << 10
	maxComment = 1 << 10
)

// AppendTo appends the canonical text of the line and an LF to dst. An Entry is "[options ]type base64[ comment]", made
// from the parsed parts. A Blank line is empty and a Comment is its own text without a final CR, if they are Plain; a line
// that is not, and a Malformed one, is nothing at all, not even an LF.
func (l Line) AppendTo(dst []byte) []byte {
	switch l.Kind {
	case Entry:
		return l.appendEntry(dst)
	case Blank:
		if l.Plain() {
			dst = append(dst, '\n')
		}
	case Comment:
		if l.Plain() {
			dst = append(dst, strings.TrimSuffix(l.Raw, "\r")...)
			dst = append(dst, '\n')
		}
	case Malformed:
	}
	return dst
}

// appendEntry writes a key line. The comment is cleaned again, for a Line may be made by hand.
func (l Line) appendEntry(dst []byte) []byte {
	if l.Key.IsZero() {
		return dst
	}
	if !l.Options.IsZero() {
		dst = append(dst, l.Options.text...)
		dst = append(dst, ' ')
	}
	dst = l.Key.appendTo(dst)
	if comment := cleanComment(l.Comment); comment != "" {
		dst = append(dst, ' ')
		dst = append(dst, comment...)
	}
	return append(dst, '\n')
}

// Plain reports whether a Blank or Comment line may stay as it is: after dropping one final CR it is at most 8 KiB of valid
// UTF-8, printable characters and tabs only, so no control byte, no NUL and no control of the writing direction. It is false
// for other kinds.
func (l Line) Plain() bool {
	text := strings.TrimSuffix(l.Raw, "\r")
	switch l.Kind {
	case Blank:
		return len(text) <= maxLine && trimBlanks(text) == ""
	case Comment:
		// Asked again, because a Line may be made by hand.
		return len(text) <= maxLine && strings.HasPrefix(trimBlanks(text), "#") && printable(text)
	case Entry, Malformed:
	}
	return false
}

// cleanComment makes a comment safe to show and to store: what is not printable becomes a space, what is no UTF-8 becomes
// U+FFFD, blanks at both ends go, and the rest is cut to 1024 bytes between two characters. Cleaning twice changes nothing.
func cleanComment(text string) string {
	var b strings.Builder
	for _, r := range text {
		if !unicode.IsPrint(r) {
			r = ' '
		}
		if b.Len() == 0 && r == ' ' {
			continue
		}
		if b.Len()+utf8.RuneLen(r) > maxComment {
			break
		}
		b.WriteRune(r)
	}
	return strings.TrimRight(b.String(), " ")
}
