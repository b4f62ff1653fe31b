package pasted

import (
	"encoding/base64"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/authkeys"
)

// A key ends where its own lengths say, not where a blank stands: so it can be put together again however its line was broken, and a
// comment behind it is not taken for a part of it.

// found is a key, or the beginning of one, in a text.
type found struct {
	start, end int // of its base64; the end only of one that is whole
	key        authkeys.Key
	certified  bool // it is a certificate, of the key
	fault      Code // how it is written, or why it is no key
	missing    int  // of one that is Cut: how many characters, 0 where nothing tells
}

func (f found) whole() bool { return !f.key.IsZero() }

// diagnosis says why a key could not be read.
func (f found) diagnosis() Diagnosis {
	if f.fault == Cut && f.missing > 0 {
		return say(Cut, f.missing)
	}
	return say(f.fault)
}

// start is how the base64 of every key begins: the upper bytes of the length of its type's name.
const beginning = "AAAA"

// find lists the keys of a text in their order.
func find(text string) (list []found) {
	for at := 0; ; {
		i := strings.Index(text[at:], beginning)
		if i < 0 {
			return list
		}
		at += i
		if f, is := extract(text, at); is {
			list = append(list, f)
			at = max(f.end, at+len(beginning))
			continue
		}
		at++
	}
}

// extract reads the key whose base64 begins at a place, if one of a known type begins there.
func extract(text string, at int) (found, bool) {
	// First the name alone: a text may have AAAA everywhere.
	short, _ := densely(text[at:], false, longestName64)
	head := make([]byte, base64.RawStdEncoding.DecodedLen(len(short)))
	n, _ := base64.RawStdEncoding.Decode(head, short)
	if _, _, s := measure(head[:n]); s == unknown {
		return found{}, false
	}
	f, is := gather(text, at, false)
	if !is || f.whole() || !strings.Contains(text[at:min(len(text), at+maxKey)], " ") {
		return f, is
	}
	// Forms that are sent to a web server turn "+" into a blank, where a program decodes what was not encoded.
	if plus, is := gather(text, at, true); is && plus.whole() && plus.fault == Plus {
		return plus, true
	}
	return f, true
}

// longestName64 is more base64 than the longest name of a type has, with its length.
const longestName64 = 96

// maxKey bounds the base64 of a key: a line of 8 KiB (authkeys).
const maxKey = 8 << 10

// gather collects base64 from a place on. Blanks and line breaks are passed over, or, with plus, each blank is a "+".
func gather(text string, at int, plus bool) (found, bool) {
	dense, places := densely(text[at:], plus, maxKey)
	wire := make([]byte, base64.RawStdEncoding.DecodedLen(len(dense)))
	n, _ := base64.RawStdEncoding.Decode(wire, dense) // what comes before an error counts
	wire = wire[:n]
	name, size, state := measure(wire)
	f := found{start: at}
	switch {
	case state == unknown:
		return f, false
	case strings.Contains(name, "-cert-v01@"):
		return f.certificate(text, wire), true
	case state == damaged:
		f.fault = Damaged
		return f, true
	}
	chars, pad := (size*8+5)/6, (3-size%3)%3
	if state == short || chars > len(dense) {
		f.fault = stopped(text[at+after(places):])
		if state == complete && after(places) == len(dense) { // no blank, behind which a comment may be
			f.missing = chars + pad - len(dense)
		}
		return f, true
	}
	f.end = at + places[chars-1] + 1
	f.finish(text, dense[:chars], pad, plus)
	return f, true
}

// finish reads a key all of whose characters are there.
func (f *found) finish(text string, dense []byte, pad int, plus bool) {
	inside := text[f.start:f.end]
	padded := 0
	for padded < pad {
		rest := strings.TrimLeft(text[f.end:], " \t\r\n")
		if !strings.HasPrefix(rest, "=") {
			break
		}
		f.end = len(text) - len(rest) + 1
		padded++
	}
	blob, err := base64.RawStdEncoding.Strict().DecodeString(string(dense))
	key, bad := authkeys.ParseBlob(blob)
	broken := plus || strings.ContainsAny(inside, " \t\r\n")
	switch {
	case broken && (!bounded(text[f.end:]) || !plausible(inside, plus) || padded < pad):
		f.fault = Cut // and the comment was taken for the rest of it
	case !bounded(text[f.end:]) || err != nil || plus && strings.ContainsAny(inside, "\t\r\n"):
		f.fault = Damaged
	case bad != nil && tinyRSA(blob):
		f.fault = TinyRSA
	case bad != nil || !genuine(key):
		f.fault = Damaged
	default:
		f.key = key
		f.fault = writing(text[f.start:f.end], key, plus, padded < pad)
	}
}

// writing says what is odd in the base64 of a key that could be read.
func writing(text string, key authkeys.Key, plus, unpadded bool) Code {
	switch {
	case plus:
		return Plus
	case strings.ContainsAny(text, "\r\n"):
		return Wrapped
	case strings.ContainsAny(text, " \t"):
		return Blanks
	case unpadded:
		return Padding
	case key.Type()+" "+text != key.String():
		return Spelling
	}
	return ""
}

// certificate reads a certificate as far as it is one. Its end is where its base64 ends.
func (f found) certificate(text string, wire []byte) found {
	f.fault, f.end = Certificate, f.start+len(beginning)
	run := strings.IndexFunc(text[f.start:], func(r rune) bool { return !strings.ContainsRune(alphabet+"=", r) })
	if run < 0 {
		run = len(text) - f.start
	}
	f.end = f.start + run
	if key, _, err := authkeys.ParseCertificate(wire); err == nil && genuine(key) {
		f.key, f.certified = key, true
	}
	return f
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// densely gives the base64 characters at the beginning of a text, so many at most, and where each stands.
func densely(text string, plus bool, most int) (dense []byte, places []int) {
	for i := 0; i < len(text) && len(dense) < most; i++ {
		switch c := text[i]; {
		case strings.IndexByte(alphabet, c) >= 0:
			dense, places = append(dense, c), append(places, i)
		case c == ' ' && plus:
			dense, places = append(dense, '+'), append(places, i)
		case c == ' ', c == '\t', c == '\r', c == '\n':
		default:
			return dense, places
		}
	}
	return dense, places
}

// after is the place behind the last character.
func after(places []int) int {
	if len(places) == 0 {
		return 0
	}
	return places[len(places)-1] + 1
}

// stopped says why a key ends early, by what stands there: three points are how programs shorten what they show, and any other
// character in the middle of the base64 came into it.
func stopped(rest string) Code {
	if rest == "" || strings.ContainsAny(rest[:1], " \t\r\n=.\"'`") {
		return Cut
	}
	if c := rest[0]; c == '@' || c == '-' || c == '_' { // of a comment
		return Cut
	}
	return Damaged
}

// bounded says whether a key may end before a text: at a blank, or at what people put around it.
func bounded(rest string) bool {
	return rest == "" || strings.ContainsAny(rest[:1], " \t\r\n\"'`;,)>]}\\|<&")
}

// leastPiece is the least length of a piece of base64 between two blanks. Most words of a comment behind a key that was cut are shorter.
const leastPiece = 10

// plausible says whether base64 with blanks in it is that of one key, and not a part of one and the words behind it. What a line break cuts
// off at the end may be as short as it likes. Where each "+" was lost, pieces of any length are between two of them.
func plausible(inside string, plus bool) bool {
	pieces := strings.Fields(inside)
	tail := pieces[len(pieces)-1]
	if !strings.HasSuffix(inside, tail) {
		return false // its last "+" may be the blank behind one that was cut
	}
	ahead := strings.TrimSuffix(inside, tail)
	if between := ahead[len(strings.TrimRight(ahead, " \t\r\n")):]; len(tail) < leastPiece && between != "" && !strings.ContainsAny(between, "\r\n") {
		return false
	}
	return plus || !slices.ContainsFunc(pieces[:len(pieces)-1], func(p string) bool { return len(p) < leastPiece })
}
