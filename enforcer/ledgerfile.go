package enforcer

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/statefile"
)

// The ledger's file has a JSON object a line: a head, a line for each user, and an end with the digest of all before it.
type (
	ledgerHead struct {
		Version int        `json:"version"` // grows when an older program would misread the file
		Source  string     `json:"source"`  // SHA-256 of what tells registries apart
		Users   int        `json:"users"`
		Days    int        `json:"days,omitempty"`
		Day     *time.Time `json:"day,omitempty"`
	}
	ledgerUser struct {
		User    string        `json:"user"`
		UID     int           `json:"uid"`
		GID     int           `json:"gid"`
		Seat    int           `json:"seat,omitempty"` // since version 2, as Faded, Mended and Names
		Home    string        `json:"home"`
		Left    *time.Time    `json:"left,omitempty"`
		LeftDay int           `json:"left_day,omitempty"`
		Keys    []ledgerKey   `json:"keys,omitempty"`
		Faded   []ledgerFades `json:"faded,omitempty"`
		Mended  []time.Time   `json:"mended,omitempty"`
		Names   []ledgerName  `json:"names,omitempty"`
	}
	// ledgerName is a name that the user had before.
	ledgerName struct {
		Name  string    `json:"name"`
		Since time.Time `json:"since"` // the first reading without it
	}
	// ledgerFades are former keys of which one reading was the first without them, by their sums one after the other.
	ledgerFades struct {
		Since time.Time `json:"since"`
		Day   int       `json:"day,omitempty"`
		Sums  []byte    `json:"sums"`
	}
	ledgerKey struct {
		Line      string     `json:"line"` // options and key, as in a key file
		Until     *time.Time `json:"until,omitempty"`
		Seen      *time.Time `json:"seen,omitempty"`
		Since     *time.Time `json:"since,omitempty"` // it is no longer registered
		Day       int        `json:"day,omitempty"`
		Confirmed bool       `json:"confirmed,omitempty"`
		Settled   bool       `json:"settled,omitempty"`
	}
	ledgerEnd struct {
		SHA256 string `json:"sha256"`
	}
)

const (
	ledgerVersion = 2 // 1 is read as well
	// ledgerBound is how many bytes the file may have: more than two million users with keys. Nothing is written that is not read again.
	ledgerBound = 1 << 30
)

// OpenLedger reads the ledger's file at path. One that is not there is one of a registry that was never read. One that cannot be
// read is an error, which names what is wrong with it.
func OpenLedger(path string) (*Ledger, error) {
	text, err := statefile.Read(path, ledgerBound)
	if errors.Is(err, fs.ErrNotExist) {
		l := NewLedger()
		l.path = path
		return l, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the ledger: %w", err)
	}
	l, err := parseLedger(text)
	if err != nil {
		return nil, fmt.Errorf("read the ledger: %s: %w", path, err)
	}
	l.path = path
	return l, nil
}

// Changed reports whether there is something to write.
func (l *Ledger) Changed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed && l.path != ""
}

// Save writes the ledger to its file, if it has changed since it was written last.
func (l *Ledger) Save() error {
	l.saving.Lock()
	defer l.saving.Unlock()
	l.mu.Lock()
	if !l.changed || l.path == "" {
		l.mu.Unlock()
		return nil
	}
	l.fit(ledgerLeft, ledgerPast)
	now := Ledger{source: l.source, days: l.days, day: l.day, members: make(map[string]*enrolled, len(l.members))}
	for name, m := range l.members {
		same := *m // its keys are not written to again
		now.members[name] = &same
	}
	l.changed = false
	l.mu.Unlock()
	text, err := now.text()
	if err == nil && len(text) >= ledgerBound {
		err = fmt.Errorf("%s: %d bytes are more than %d", l.path, len(text), ledgerBound)
	}
	if err == nil {
		err = statefile.Replace(filepath.Dir(l.path), filepath.Base(l.path), text)
	}
	if err != nil {
		l.mu.Lock()
		l.changed = true
		l.mu.Unlock()
		return fmt.Errorf("write the ledger: %w", err)
	}
	return nil
}

// text is the file.
func (l *Ledger) text() ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(ledgerHead{Version: ledgerVersion, Source: l.source, Users: len(l.members), Days: l.days, Day: stamp(l.day)})
	for name, m := range l.members {
		err = errors.Join(err, encoder.Encode(m.entry(name)))
	}
	sum := sha256.Sum256(b.Bytes())
	err = errors.Join(err, encoder.Encode(ledgerEnd{SHA256: hex.EncodeToString(sum[:])}))
	return b.Bytes(), err
}

func (m *enrolled) entry(name string) ledgerUser {
	u := ledgerUser{User: name, UID: m.uid, GID: m.gid, Home: m.home, Left: stamp(m.left), LeftDay: m.leftDay, Seat: m.seat, Keys: make([]ledgerKey, len(m.keys)), Mended: m.mended}
	for _, n := range m.names {
		u.Names = append(u.Names, ledgerName{n.name, n.since})
	}
	for i, f := range m.faded {
		if i == 0 || !f.since.Equal(m.faded[i-1].since) || f.day != m.faded[i-1].day {
			u.Faded = append(u.Faded, ledgerFades{Since: f.since, Day: f.day})
		}
		last := &u.Faded[len(u.Faded)-1]
		last.Sums = append(last.Sums, f.sum[:]...)
	}
	for i, k := range m.keys {
		line := authkeys.Line{Kind: authkeys.Entry, Key: k.key, Options: k.options}
		u.Keys[i] = ledgerKey{
			Line: strings.TrimSuffix(string(line.AppendTo(nil)), "\n"), Until: stamp(k.end), Seen: stamp(k.seen), Since: stamp(k.since),
			Day: k.day, Confirmed: k.confirmed, Settled: k.settled,
		}
	}
	return u
}

// stamp and moment give a time that may be zero a place in a file.
func stamp(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func moment(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

// parseLedger reads all of the file or nothing.
func parseLedger(text []byte) (*Ledger, error) {
	body := bytes.TrimSuffix(text, []byte("\n"))
	at := bytes.LastIndexByte(body, '\n') + 1
	var end ledgerEnd
	if sum := sha256.Sum256(text[:at]); strictJSON(body[at:], &end) != nil || end.SHA256 != hex.EncodeToString(sum[:]) {
		return nil, errors.New("the digest at its end is not that of its content: it was cut short or changed")
	}
	first, rest, _ := bytes.Cut(text[:at], []byte("\n"))
	var head ledgerHead
	if strictJSON(first, &head) != nil || head.Version < 1 || head.Version > ledgerVersion {
		return nil, fmt.Errorf("it is no ledger of version %d or earlier", ledgerVersion)
	}
	l := NewLedger()
	l.source, l.days, l.day = head.Source, head.Days, moment(head.Day)
	for line := range bytes.Lines(rest) {
		var u ledgerUser
		err := strictJSON(line, &u)
		if err == nil {
			l.members[u.User], err = u.enrolled()
		}
		if err != nil {
			return nil, fmt.Errorf("user %q: %w", u.User, err)
		}
		l.mark(u.User, l.members[u.User])
	}
	if len(l.members) != head.Users {
		return nil, fmt.Errorf("it has %d users instead of %d", len(l.members), head.Users)
	}
	l.seatAll()
	return l, nil
}

func (u ledgerUser) enrolled() (*enrolled, error) {
	m := &enrolled{uid: u.UID, gid: u.GID, seat: u.Seat, home: u.Home, left: moment(u.Left), leftDay: u.LeftDay, mended: u.Mended}
	for _, f := range u.Faded {
		for sum := range slices.Chunk(f.Sums, sha256.Size) {
			if len(sum) != sha256.Size {
				return nil, errors.New("a sum was cut short")
			}
			m.faded = append(m.faded, faded{authkeys.Sum(sum), f.Since, f.Day})
		}
	}
	for _, n := range u.Names {
		m.names = append(m.names, name{n.Name, n.Since.UTC()})
	}
	if len(u.Keys) > 0 {
		m.keys = make([]known, len(u.Keys))
	}
	for i, k := range u.Keys {
		line, err := authkeys.ParseValue([]byte(k.Line))
		if err != nil {
			return nil, err
		}
		m.keys[i] = known{
			key: line.Key, options: line.Options, end: moment(k.Until), seen: moment(k.Seen), since: moment(k.Since),
			day: k.Day, confirmed: k.Confirmed, settled: k.Settled,
		}
	}
	return m, nil
}
