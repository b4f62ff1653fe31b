package policy

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
)

// Rule accepts one type of key.
type Rule struct {
	// Type is "ed25519", "sk-ed25519" or "rsa".
	Type string `yaml:"type"`
	// MinBits is the least size of the modulus of an RSA key, in bits; for other types it must be 0.
	MinBits int `yaml:"min_bits"`
	// From and Until are the first and the last day on which the rule counts; empty: there is none. Several rules of one type count on
	// days of their own.
	From  Day `yaml:"from"`
	Until Day `yaml:"until"`
}

// Day is a day as time.DateOnly has it, such as "2027-01-31", in UTC: hosts in several time zones may share a home, and are to judge it
// alike. Days are in order as texts are.
type Day string

// UnmarshalText reads a day.
func (d *Day) UnmarshalText(text []byte) error {
	*d = Day(text)
	_, err := d.begin()
	return err
}

// begin is the first moment of the day.
func (d Day) begin() (time.Time, error) {
	at, err := time.Parse(time.DateOnly, string(d))
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is no day such as 2027-01-31", string(d))
	}
	return at, nil
}

// Days is a number of days, "90d" in the configuration.
type Days int

// UnmarshalText reads a number of days.
func (d *Days) UnmarshalText(text []byte) error {
	number, days := strings.CutSuffix(string(text), "d")
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil || !days {
		return fmt.Errorf("%q is no number of days such as 90d", text)
	}
	*d = Days(n)
	return nil
}

// span is a rule in its time.
type span struct {
	Rule

	from, until time.Time // until: the first moment at which it no longer counts; zero: there is no bound
	word        string    // for people, without the time
}

// in reports whether the rule counts at a moment.
func (s span) in(now time.Time) bool {
	return !now.Before(s.from) && (s.until.IsZero() || now.Before(s.until))
}

// overlaps reports whether there is a moment at which both count.
func (s span) overlaps(o span) bool {
	return (s.until.IsZero() || o.from.Before(s.until)) && (o.until.IsZero() || s.from.Before(o.until))
}

func (s span) String() string {
	text := s.word
	if s.From != "" {
		text += " from " + string(s.From)
	}
	if s.Until != "" {
		text += " until " + string(s.Until)
	}
	return text
}

// compile gives the rule's name on the wire, and the rule in its time.
func (r Rule) compile() (wire string, s span, err error) {
	s = span{Rule: r, word: r.Type}
	if r.Type != rsa && r.MinBits != 0 {
		return "", s, fmt.Errorf("min_bits belongs to rsa, not to %q", r.Type)
	}
	switch r.Type {
	case ed25519:
		wire = wireEd25519
	case skEd25519:
		wire = wireSKEd25519
	case rsa:
		if r.MinBits < leastRSABits || r.MinBits > mostRSABits {
			return "", s, fmt.Errorf("min_bits is %d; an rsa rule needs %d to %d", r.MinBits, leastRSABits, mostRSABits)
		}
		wire, s.word = wireRSA, fmt.Sprintf("RSA of at least %d bits", r.MinBits)
	default:
		return "", s, fmt.Errorf("the type %q is not one of ed25519, sk-ed25519, rsa", r.Type)
	}
	if r.From != "" {
		s.from, err = r.From.begin()
	}
	if r.Until != "" && err == nil {
		if s.until, err = r.Until.begin(); err == nil {
			s.until = s.until.AddDate(0, 0, 1)
		}
	}
	if err == nil && r.Until != "" && r.Until < r.From {
		err = fmt.Errorf("it ends on %s, before it begins on %s", r.Until, r.From)
	}
	return wire, s, err
}

// rulebook is the list of rules.
type rulebook struct {
	list    []span            // in the order of the configuration
	accepts map[string][]span // by the key type's name on the wire
	turns   []time.Time       // at which a rule begins or ends, in order
}

// newRulebook refuses rules of one type for one moment, of which one would count by chance, and a moment without any rule: that would take
// every key from everybody.
func newRulebook(rules []Rule) (b rulebook, err error) {
	b.accepts = make(map[string][]span)
	var wrong []error
	for i, rule := range rules {
		wire, s, err := rule.compile()
		if err == nil && slices.ContainsFunc(b.accepts[wire], s.overlaps) {
			err = fmt.Errorf("the type %q stands there twice for the same days", rule.Type)
		}
		if err != nil {
			wrong = append(wrong, fmt.Errorf("policy.keys[%d]: %w", i, err))
			continue
		}
		b.list, b.accepts[wire] = append(b.list, s), append(b.accepts[wire], s)
		for _, turn := range []time.Time{s.from, s.until} {
			if !turn.IsZero() {
				b.turns = append(b.turns, turn)
			}
		}
	}
	if len(wrong) > 0 {
		return b, errors.Join(wrong...)
	}
	slices.SortFunc(b.turns, time.Time.Compare)
	for _, at := range append([]time.Time{{}}, b.turns...) {
		if len(b.at(at)) > 0 {
			continue
		}
		if at.IsZero() {
			return b, fmt.Errorf("policy.keys: no rule counts before %s, which would refuse every key", b.turns[0].Format(time.DateOnly))
		}
		return b, fmt.Errorf("policy.keys: no rule counts from %s on, which would refuse every key", at.Format(time.DateOnly))
	}
	return b, nil
}

// at are the rules that count at a moment.
func (b rulebook) at(now time.Time) (list []span) {
	for _, s := range b.list {
		if s.in(now) {
			list = append(list, s)
		}
	}
	return list
}

// required names what is accepted at a moment, for people.
func (b rulebook) required(now time.Time) string {
	list := b.at(now)
	words := make([]string, len(list))
	for i, s := range list {
		words[i] = s.word
	}
	return enumerate(words)
}

// rule is the one that decides about a type of key at a moment.
func (b rulebook) rule(wire string, now time.Time) (span, bool) {
	for _, s := range b.accepts[wire] {
		if s.in(now) {
			return s, true
		}
	}
	return span{}, false
}

// takes reports whether a key is accepted at a moment.
func (b rulebook) takes(key authkeys.Key, now time.Time) bool {
	s, ok := b.rule(key.Type(), now)
	return ok && key.Bits() >= s.MinBits
}

// end is the moment from which on a key is no longer accepted that is accepted now, and the last rule that accepts it; zero: never.
func (b rulebook) end(key authkeys.Key, now time.Time) (at time.Time, last span) {
	for at = now; b.takes(key, at); at = last.until {
		if last, _ = b.rule(key.Type(), at); last.until.IsZero() {
			return time.Time{}, last
		}
	}
	return at, last
}

// turn is the first moment after now at which a rule begins or ends; zero: there is none.
func (b rulebook) turn(now time.Time) time.Time {
	for _, at := range b.turns {
		if at.After(now) {
			return at
		}
	}
	return time.Time{}
}
