package homes

import (
	"errors"
	"strings"
)

// GlobCharacters are those by which a text is more than a name to glob(3).
const GlobCharacters = `*?[]\`

// Pattern is the name of key files as glob(3) takes it, in the one form in which
// sshd has it: that of OpenBSD with no flags, which sshd brings along where the C
// library has no gl_matchc (openbsd-compat/glob.c). Names are bytes; "*" and "?"
// and a set match no dot at the beginning.
type Pattern []token

// token is one piece of a pattern: a byte, any byte of a set, or a star.
type token struct {
	star bool
	set  *[256]bool // nil: byte
	byte byte
}

// ParsePattern reads the last name of a path. Its error says what is not kept,
// though glob(3) takes it:
//
//   - a dot and a wildcard behind it, since what this package puts aside has such names;
//   - a class in a set, [[:alpha:]], whose meaning is the locale's;
//   - what matches no plain name.
func ParsePattern(text string) (Pattern, error) {
	q := unquote(text)
	var p Pattern
	for i := 0; i < len(q); i++ {
		switch {
		case q.is(i, '*'):
			if len(p) == 0 || !p[len(p)-1].star {
				p = append(p, token{star: true})
			}
		case q.is(i, '?'):
			p = append(p, token{set: complement(&[256]bool{})})
		case q.is(i, '[') && q.end(i) > 0:
			set, err := q.set(i)
			if err != nil {
				return nil, err
			}
			p = append(p, token{set: set})
			i = q.end(i)
		default:
			p = append(p, token{byte: q[i].byte})
		}
	}
	if p.Wild() && p[0] == (token{byte: '.'}) {
		return nil, errors.New("it finds names that begin with a dot, as those of files have that were put aside")
	}
	if p.Wild() && p.Name() == "" {
		return nil, errors.New("it matches no plain name")
	}
	return p, nil
}

// quoted is a text less the backslashes that quote.
type quoted []char

// char is a byte of it; a plain one is no wildcard.
type char struct {
	byte
	plain bool
}

func unquote(text string) quoted {
	var q quoted
	for i := 0; i < len(text); i++ {
		plain := text[i] == '\\'
		if plain && i+1 < len(text) { // the last byte quotes nothing
			i++
		}
		q = append(q, char{text[i], plain})
	}
	return q
}

func (q quoted) is(i int, c byte) bool { return i < len(q) && q[i] == char{c, false} }

// begin is where the bytes of a set begin whose "[" is given.
func (q quoted) begin(bracket int) int {
	if q.is(bracket+1, '!') {
		return bracket + 2
	}
	return bracket + 1
}

// end is where the "]" of a set is. The first byte of the set is none; without one the "[" is a byte like any other, and
// the end is 0.
func (q quoted) end(bracket int) int {
	for i := q.begin(bracket) + 1; i < len(q); i++ {
		if q.is(i, ']') {
			return i
		}
	}
	return 0
}

func (q quoted) set(bracket int) (*[256]bool, error) {
	set := new([256]bool)
	for i := q.begin(bracket); i < q.end(bracket); i++ {
		if q.is(i, '[') && q.is(i+1, ':') {
			return nil, errors.New("it holds a set with a class of characters")
		}
		low, high := q[i].byte, q[i].byte
		if q.is(i+1, '-') && !q.is(i+2, ']') {
			i += 2
			high = q[i].byte
		}
		for c := int(low); c <= int(high); c++ {
			set[c] = true
		}
	}
	if q.is(bracket+1, '!') {
		set = complement(set)
	}
	return set, nil
}

func complement(set *[256]bool) *[256]bool {
	var other [256]bool
	for i, in := range set {
		other[i] = !in
	}
	return &other
}

// Wild reports that the pattern is more than one name.
func (p Pattern) Wild() bool {
	for _, t := range p {
		if t.star || t.set != nil {
			return true
		}
	}
	return false
}

// Name is a name that the pattern matches, as short and as plain as can be; that of a pattern
// which is not wild is the one. "": there is no plain one.
func (p Pattern) Name() string {
	for _, filling := range []string{"", "authorized_keys"} {
		var name strings.Builder
		for _, t := range p {
			switch {
			case t.star:
				name.WriteString(filling)
				filling = "" // one is enough
			case t.set != nil:
				name.WriteString(t.plain())
			default:
				name.WriteByte(t.byte)
			}
		}
		if p.Match(name.String()) {
			return name.String()
		}
	}
	return ""
}

// plain is a byte of the set that anybody would use in a name.
func (t token) plain() string {
	const usual = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-."
	for i := range len(usual) {
		if t.set[usual[i]] {
			return usual[i : i+1]
		}
	}
	return ""
}

// Match reports whether glob(3) finds a name by the pattern.
func (p Pattern) Match(name string) bool {
	if name == "" || name[0] == '.' && (len(p) == 0 || p[0] != token{byte: '.'}) {
		return false
	}
	at, star, resume := 0, -1, 0
	for i := 0; i < len(name); {
		switch {
		case at < len(p) && p[at].star:
			star, resume = at, i
			at++
		case at < len(p) && p[at].takes(name[i]):
			at++
			i++
		case star >= 0: // the star takes one byte more
			resume++
			at, i = star+1, resume
		default:
			return false
		}
	}
	for at < len(p) && p[at].star {
		at++
	}
	return at == len(p)
}

func (t token) takes(c byte) bool {
	if t.set != nil {
		return t.set[c]
	}
	return t.byte == c
}
