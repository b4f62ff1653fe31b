package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/ldapsource"
	"github.com/keyreeve/keyreeve/policy"
)

func newExplain(p process, path *string) *cobra.Command {
	var login, format, from string
	cmd := &cobra.Command{
		Use:   "explain [USER [KEY] | --login FINGERPRINT]",
		Short: "Say why a user's keys log in or do not, or who registered the key of a login",
		Long: "Say everything that sshd would look at when USER logs in, in its order, with the first thing that stops him: the account, each key\n" +
			"file with owners and modes as StrictModes judges them, each line, what AuthorizedKeysCommand answers (it is run as sshd runs it), what\n" +
			"the registry lists and the policy makes of it, and which of his lines keyreeve took out lately. KEY, a line, a file with one or a\n" +
			"fingerprint, asks about that key alone. --from is the client's address, for from= and for Match blocks.\n\n" +
			"Without USER, and without root's rights, say what the daemon tells the user who asks of himself, and what he sees of his own files.\n\n" +
			"With --login, say to whom the key of a login is or was registered, in which entry of the registry, who wrote that entry and when, what\n" +
			"the policy makes of the key now, and what keyreeve saw of it. FINGERPRINT is what sshd's log has behind \"ssh2:\"\n" +
			"(\"SHA256:...\" or \"MD5:...\", with or without the type before it), or the key itself as a line of authorized_keys.\n\n" +
			"The registry is read for it, as by plan; where that fails the last good reading is what counts. Nothing is changed.\n\n" +
			"Exit status: 0 a key of his, or KEY, logs in now (--login: it is registered to somebody now, or an exception lets it in); 2 none does\n" +
			"(--login: nobody has it now); 1 an error, also where that is not known.",
		RunE: func(cmd *cobra.Command, words []string) error {
			if login != "" {
				return explainLoginOf(cmd, p, *path, format, login, from, words)
			}
			return explainUserOf(cmd, p, *path, format, from, words)
		},
	}
	cmd.Flags().StringVar(&login, "login", "", "the `fingerprint` of a login's key")
	cmd.Flags().StringVar(&from, "from", "", "the `address` of the client")
	cmd.Flags().StringVar(&format, "format", "text", "text or json")
	return cmd
}

// explainLoginOf is explain --login.
func explainLoginOf(cmd *cobra.Command, p process, path, format, login, from string, words []string) error {
	if len(words) > 0 || from != "" {
		return errors.New("--login goes with neither a user nor --from")
	}
	wanted, err := parseLogin(login)
	if err != nil {
		return fmt.Errorf("--login: %w", err)
	}
	return explainLogin(cmd.Context(), p, path, format, wanted)
}

// errNobodys makes explain end with statusAttention; it is not an error that is printed.
var errNobodys = errors.New("nobody has the key now")

// Bounds of an answer. Of a key that half a directory has nobody reads all entries, and of a trail only the end.
const (
	explainedPlaces  = 64
	explainedRecords = 20
)

// openWorld reads the registry, or takes the last good reading for it, and makes the world of it. read is when that was.
func openWorld(ctx context.Context, p process, path string) (one *pass, read time.Time, err error) {
	g, err := openGated(ctx, p, path)
	if err != nil {
		return nil, read, err
	}
	one = &pass{gated: g}
	good := one.gate.Good(one.settings.SourceID)
	snapshot, err := one.read(ctx, p)
	if err != nil {
		if good == nil {
			return nil, read, withAdvice(errors.Join(err, g.noGood()))
		}
		snapshot, one.unread = good.Snapshot, err
	}
	read = time.Now()
	if one.away() { // and so good is what counts
		read = good.Read
	}
	return one, read, one.remember(p, snapshot, good)
}

// explainLogin prints all that is known of the keys with a fingerprint.
func explainLogin(ctx context.Context, p process, path, format string, wanted fingerprint) error {
	one, read, err := openWorld(ctx, p, path)
	if err != nil {
		return err
	}
	e := explainer{pass: one, wanted: wanted, at: make(map[owned]int)}
	e.describe(read)
	e.locate(ctx)
	e.trail()
	if err := printDocument(p, format, e.document, func(out *bufio.Writer) { e.text(out) }); err != nil {
		return err
	}
	switch {
	case e.Found:
		return nil
	case one.unread != nil:
		return withAdvice(fmt.Errorf("whether anybody has the key now is not known: %w", one.unread))
	}
	return errNobodys
}

// owned is a key of a user.
type owned struct {
	user string
	key  authkeys.Key
}

// explainer collects a document.
type explainer struct {
	*pass
	document

	wanted fingerprint
	at     map[owned]int // places in Users
}

// of is what is said of a key and a user; new ones go to the end.
func (e *explainer) of(user string, uid int, key authkeys.Key) *explained {
	at, there := e.at[owned{user, key}]
	if !there {
		at = len(e.Users)
		e.at[owned{user, key}] = at
		verdict := e.world.Grants.Judge(user, authkeys.Line{Kind: authkeys.Entry, Key: key})
		e.Users = append(e.Users, explained{
			User: user, UID: uid, Type: key.Type(), Bits: key.Bits(), Fingerprint: key.Fingerprint(),
			Reason: string(verdict.Reason), Detail: verdict.Detail,
			Records: []keyDocument{}, Exceptions: []exceptedDocument{}, Entries: []entryDocument{},
		})
		e.ends(&e.Users[at], key)
	}
	return &e.Users[at]
}

// ends says of a user's key when the rules will refuse it.
func (e *explainer) ends(of *explained, key authkeys.Key) {
	for _, d := range e.world.Grants.Ends(of.User) {
		if d.Key == key {
			of.Ends, of.RefusedFrom = d.Detail, bound(d.At)
		}
	}
}

// describe says what the reading that counts, the past and the exceptions know.
func (e *explainer) describe(read time.Time) {
	e.document = document{Version: 1, Asked: e.wanted.text, Users: []explained{}, Trail: []trailDocument{}, Notes: []string{}}
	snapshot := e.world.Snapshot
	e.Reading = describeExplained(e.pass, read)
	for user := range snapshot.Users() {
		for _, r := range user.Records {
			if e.wanted.is(r.Key) {
				of := e.of(user.Name, user.UID, r.Key)
				of.Records = append(of.Records, describeKey(r))
				e.Found = true
			}
		}
	}
	for _, s := range e.memory.Ledger.Sightings(e.wanted.is) {
		of := e.of(s.User, s.UID, s.Key)
		of.FirstSeen, of.GoneSince, of.Left = bound(s.Seen), bound(s.Since), bound(s.Left)
	}
	for _, x := range e.world.Exceptions() {
		if e.wanted.is(x.Key) {
			uid := -1
			if account, kept := e.world.Account(x.User); kept {
				uid = account.UID
			}
			of := e.of(x.User, uid, x.Key)
			of.Exceptions = append(of.Exceptions, describeExcepted(x))
			e.Found = e.Found || x.Idle == ""
		}
	}
	for _, skip := range e.world.Skips() {
		for i := range e.Users {
			if e.Users[i].User == skip.User {
				e.Users[i].LeftAlone = skip.Why
			}
		}
	}
	slices.SortStableFunc(e.Users, func(a, b explained) int { return strings.Compare(a.User, b.User) })
	e.note()
}

// note says what could make the answer another one.
func (e *explainer) note() {
	if e.held != nil {
		for user := range e.held.Snapshot.Users() {
			for _, r := range user.Records {
				if e.wanted.is(r.Key) {
					e.Notes = append(e.Notes, fmt.Sprintf("the reading that is held, and does not count, has the key for %q in %q", user.Name, r.Origin))
				}
			}
		}
	}
	if n := e.world.Snapshot.Rejects(); n > 0 && !e.Found {
		e.Notes = append(e.Notes, fmt.Sprintf("%d values of the registry could not be used, and one may be this key: \"keyreeve plan\" names them", n))
	}
}

// located is a registry that can say who wrote an entry.
type located interface {
	Locate(ctx context.Context, users ...string) ([]ldapsource.Place, error)
}

// locate asks the registry who wrote the entries, of those users alone.
func (e *explainer) locate(ctx context.Context) {
	source, can := e.settings.Source.(located)
	var names []string
	for _, of := range e.Users[:min(len(e.Users), explainedPlaces)] {
		names = append(names, of.User)
	}
	if len(names) == 0 || !can {
		return
	}
	places, err := source.Locate(ctx, slices.Compact(names)...)
	for i := range e.Users {
		switch of := &e.Users[i]; {
		case i >= explainedPlaces:
			of.place(nil, e.config.Registry, "who wrote the entry was not asked for: too many users have the key")
		case err != nil:
			of.place(nil, e.config.Registry, "who wrote the entry is not known: "+err.Error())
		default:
			of.place(places, e.config.Registry, "")
		}
	}
}

// trail finds the last records.
func (e *explainer) trail() {
	var prints []string
	if e.wanted.sha256 != "" {
		prints = append(prints, e.wanted.sha256)
	}
	for _, of := range e.Users {
		prints = append(prints, of.Fingerprint)
	}
	if len(prints) == 0 {
		e.Notes = append(e.Notes, "the audit trail was not searched: it knows keys by SHA256 alone")
		return
	}
	records, err := audit.About(e.config.Audit.File, explainedRecords, prints...)
	if err != nil {
		e.TrailError = err.Error()
	}
	for _, r := range records {
		e.Trail = append(e.Trail, describeFound(r))
	}
}

func describeExcepted(x policy.Excepted) exceptedDocument {
	return exceptedDocument{
		ID: x.ID, Owner: x.Owner, Reason: x.Reason, Since: x.Since.UTC(), Until: x.Until.UTC(), InForce: x.Idle == "", Idle: x.Idle,
	}
}

// describeExplained says what reading counts, and how old it is.
func describeExplained(one *pass, read time.Time) explainedReading {
	r := explainedReading{Source: one.world.Snapshot.Source(), Read: read.UTC().Truncate(time.Second), Live: !one.away()}
	if one.unread != nil {
		r.Error = one.unread.Error()
	}
	if one.held != nil {
		r.Held = one.held.Summary()
	}
	return r
}
