package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/keyreeve/keyreeve/authkeys"
)

// Exception lets one user use one key for a while, whatever the registry and the rules say of that key. A person stands for
// it, with a reason and an end.
type Exception struct {
	// ID names the exception in reports and in the audit trail.
	ID   string
	User string
	Key  authkeys.Key
	// Options is what a line with the key must carry; they can only narrow. None leaves the user his own narrowing options.
	Options authkeys.Options
	// Comment is that of a line that is written for the exception.
	Comment string
	// Owner is who answers for it, Reason why it was made.
	Owner, Reason string
	// Since is when it was made, Until the first moment at which it no longer counts.
	Since, Until time.Time
	// Copy is the copy in quarantine that the key was taken from.
	Copy string
}

// The bounds of an exception's text, in bytes: an audit record has room for both.
const (
	ownerBound  = 64
	reasonBound = 140
)

// ExceptionShown is how long an exception that ended is still shown.
const ExceptionShown = 30 * 24 * time.Hour

// NewException checks an exception that somebody asks for at the moment now, which becomes its Since: its end must come, and
// within a year. Options that widen are taken out.
func (p *Policy) NewException(e Exception, now time.Time) (Exception, error) {
	e.Since, e.Until = now.UTC().Truncate(time.Second), e.Until.UTC().Truncate(time.Second)
	if err := errors.Join(e.Check(), p.noException(e.Key)); err != nil {
		return Exception{}, err
	}
	if _, _, verdict := p.options.demand(e.Options.Narrowing()); !verdict.Granted() {
		return Exception{}, errors.New("there is no such exception: " + verdict.Detail)
	}
	if !e.Until.After(now) {
		return Exception{}, fmt.Errorf("the exception would have ended at %s already", moment(e.Until))
	}
	e.Options = e.Options.Narrowing()
	return e, nil
}

// Check finds what no exception may be, whoever made it, or wrote it into a file. Whether its key is weak is found by
// [Policy.NewException] and [Policy.Evaluate].
func (e Exception) Check() error {
	switch {
	case e.User == "":
		return errors.New("an exception is for one user")
	case e.Until.Before(e.Since), e.Since.IsZero():
		return fmt.Errorf("the exception would end at %s, before it begins at %s", moment(e.Until), moment(e.Since))
	case e.Until.After(e.Since.AddDate(1, 0, 1)): // the end of the day that is a year away still counts
		return fmt.Errorf("the exception would end at %s, more than a year away", moment(e.Until))
	}
	return errors.Join(person("owner", e.Owner, ownerBound), person("reason", e.Reason, reasonBound), excepted(e.Key, e.Options))
}

// person checks what a person wrote about an exception.
func person(what, text string, bound int) error {
	switch {
	case strings.TrimSpace(text) == "":
		return fmt.Errorf("the exception has no %s", what)
	case len(text) > bound:
		return fmt.Errorf("the %s has %d bytes, at most %d are allowed", what, len(text), bound)
	case !utf8.ValidString(text), strings.ContainsFunc(text, unicode.IsControl):
		return fmt.Errorf("the %s holds control characters or is no UTF-8", what)
	}
	return nil
}

// excepted refuses keys for which there is no exception: they would let in others than their holder. The unknown is refused
// first. DSA is unknown here, since nothing tells a sound DSA key from one with g = 1, for which anybody can sign.
func excepted(key authkeys.Key, options authkeys.Options) error {
	known := []string{
		wireEd25519, wireSKEd25519, wireRSA,
		wireECDSA256, wireECDSA384, wireECDSA521, wireSKECDSA256,
	}
	switch {
	case options.CertAuthority():
		return errors.New("there is no exception for a line that " + admitsOthers)
	case !slices.Contains(known, key.Type()):
		return fmt.Errorf("there is no exception for keys of the type %q", key.Type())
	}
	return nil
}

// noException refuses a key with which others than its holder can log in.
func (p *Policy) noException(key authkeys.Key) error {
	if verdict := p.broken(key); !verdict.Granted() {
		return errors.New("there is no exception: " + verdict.Detail)
	}
	return nil
}

// Excepted is an exception as one evaluation found it.
type Excepted struct {
	Exception
	// Idle says why it grants nothing, in a few words; empty when it does.
	Idle string
}

// notBegun and ended say of an exception that it begins later, or is over.
const (
	notBegun = "not begun"
	ended    = "ended"
)

// numbered is an exception with its place among those that were asked for.
type numbered struct {
	Excepted

	at int
}

// except adds what exceptions of some users grant to what the registry does. Of two for one key of one user the later one counts: they
// would be two sets of options for one key otherwise.
func (g *Grants) except(users map[string]*userGrants, now time.Time, some func(user string) bool) {
	for at, e := range slices.Backward(g.exceptions) {
		if !some(e.User) {
			continue
		}
		of := users[e.User]
		if of == nil {
			of = &userGrants{}
			users[e.User] = of
		}
		idle := g.idle(e, of, now)
		if idle == ended {
			of.ended = append(of.ended, e.Key)
		}
		if idle == "" {
			idle = of.grant(g.policy.options, Grant{Key: e.Key, Label: e.Comment, Until: e.Until.UTC()}, e.Options.Narrowing(), "exception "+e.ID).Detail
		}
		if now.Before(e.Until.Add(ExceptionShown)) {
			g.excepted = append(g.excepted, numbered{Excepted{e, idle}, at})
		}
		of.turn(e.Since, now)
		of.turn(e.Until, now)
	}
	slices.Reverse(g.excepted)
}

// idle says why an exception grants nothing. It is a word about one key, not about the account: who is locked has no keys. A key that is granted already keeps the options that it has: an exception
// must not take those away that the registry demands.
func (g *Grants) idle(e Exception, of *userGrants, now time.Time) string {
	err := errors.Join(e.Check(), g.policy.noException(e.Key))
	switch {
	case err != nil:
		return err.Error()
	case !now.Before(e.Until):
		return ended
	case now.Before(e.Since):
		return notBegun
	case of.away.Reason != "":
		return of.away.Detail
	case slices.ContainsFunc(of.grants, func(have Grant) bool { return have.Key == e.Key }):
		return "not needed: the key is granted without it, or by a later one"
	}
	return ""
}

// Exceptions lists the exceptions that count, in the order in which they were made, with those that grant nothing, or ended
// within [ExceptionShown].
func (g *Grants) Exceptions() []Excepted {
	list := make([]Excepted, len(g.excepted))
	for i, e := range g.excepted {
		list[i] = e.Excepted
	}
	return list
}
