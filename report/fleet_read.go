package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/keyreeve/keyreeve/internal/plain"
)

// The bounds of what is read: a report may come from a host that somebody else has taken.
const (
	// MaxReport is the size of one report; a hundred thousand accounts with five keys each are some 400 MB.
	MaxReport = 2 << 30
	// maxValue is how much of that one field or account may be, since it is in memory at once.
	maxValue = 256 << 20
	// MaxFleet is how many hosts are put side by side.
	MaxFleet = 1000
	// maxFleetKeys is how many keys of users all of them may have.
	maxFleetKeys = 4_000_000
	// maxWord is how many bytes of a name or code are believed.
	maxWord = 512
)

// fleetUser is the part of an account that counts for a fleet.
type fleetUser struct {
	User  string `json:"user"`
	Files []struct {
		Change bool       `json:"change"`
		Lines  []jsonLine `json:"lines"`
	} `json:"files"`
	Unkept []jsonOdd `json:"unkept"`
}

// Add reads the JSON report of one more host. It is all or error: what is no report, is cut short, of another version, too large, or of a host that
// is there already. After an error the fleet is not to be used.
func (f *Fleet) Add(r io.Reader) error {
	limited := &bounded{r: r, whole: f.maxReport, most: f.maxValue}
	limited.next()
	in := intake{fleet: f, from: limited, dec: json.NewDecoder(limited), at: len(f.Hosts), seen: make(map[string]bool)}
	if in.at >= MaxFleet {
		return fmt.Errorf("more than %d hosts", MaxFleet)
	}
	f.Hosts = append(f.Hosts, FleetHost{})
	err := in.document()
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return fmt.Errorf("it is cut short: %w", io.ErrUnexpectedEOF)
	}
	if err != nil && len(err.Error()) > maxWord { // encoding/json repeats a number, and package time a time
		return errors.New(word(err.Error()))
	}
	return err
}

// intake reads one report into a fleet.
type intake struct {
	fleet *Fleet
	from  *bounded
	dec   *json.Decoder
	at    int // the place of the host
	seen  map[string]bool
}

// document reads the object field by field, since the accounts need not be in memory at once.
func (in *intake) document() error {
	if err := in.delim('{'); err != nil {
		return err
	}
	for in.dec.More() {
		token, err := in.dec.Token()
		if err != nil {
			return err
		}
		name, _ := token.(string)
		switch {
		case in.seen[name]:
			return fmt.Errorf("it says %q twice", word(name))
		case len(in.seen) >= maxFields:
			return fmt.Errorf("it has more than %d fields", maxFields)
		case name != "version" && !in.seen["version"]:
			return errors.New("it does not begin with its version: no report of keyreeve plan --format json")
		}
		in.seen[name] = true
		in.from.next()
		if err := in.field(name); err != nil {
			return err
		}
	}
	if err := in.delim('}'); err != nil {
		return err
	}
	for _, name := range []string{"host", "summary", "digest", "accounts"} {
		if !in.seen[name] {
			return fmt.Errorf("it has no field %q", name)
		}
	}
	if _, err := in.dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the report")
	}
	return in.check()
}

func (in *intake) delim(want json.Delim) error {
	token, err := in.dec.Token()
	if err == nil && token != want {
		return fmt.Errorf("%v where %v is wanted: no report of keyreeve plan --format json", token, want)
	}
	return err
}

func (in *intake) field(name string) error {
	h := &in.fleet.Hosts[in.at]
	switch name {
	case "version":
		var version int
		if err := in.dec.Decode(&version); err != nil {
			return fmt.Errorf("its version: %w", err)
		}
		if version != formatVersion {
			return fmt.Errorf("its version is %d, and only %d is known here", version, formatVersion)
		}
		return nil
	case "host":
		var host string
		if err := in.dec.Decode(&host); err != nil {
			return err
		}
		if host = word(host); strings.ContainsAny(host, " ,;:") { // in a list it would be several
			return fmt.Errorf("it is of the host %q, which is no name of one", host)
		}
		if host == "" || in.fleet.host(host) >= 0 {
			return fmt.Errorf("it is of the host %q, which has no name or another report", host)
		}
		h.Host = host
		return nil
	case "made":
		return in.dec.Decode(&h.Made)
	case "policy":
		return in.text(&h.Policy)
	case "registry":
		var registry struct {
			Source string `json:"source"`
			Held   string `json:"held"`
		}
		err := in.dec.Decode(&registry)
		h.Source, h.Held = word(registry.Source), word(registry.Held)
		return err
	case "what_if":
		return in.supposed(h)
	case "summary":
		return in.dec.Decode(&h.Counts)
	case "digest":
		return in.digest(h)
	case "accounts":
		return in.accounts()
	}
	var passedOver json.RawMessage
	return in.dec.Decode(&passedOver)
}

func (in *intake) text(to *string) error {
	err := in.dec.Decode(to)
	*to = word(*to)
	return err
}

// digest takes who loses access and what is not decided.
func (in *intake) digest(h *FleetHost) error {
	var d struct {
		Lockouts []struct {
			User    string `json:"user"`
			Granted int    `json:"granted"`
			Unsure  bool   `json:"unsure"`
		} `json:"lockouts"`
		Open []struct {
			User   string `json:"user"`
			Path   string `json:"path"`
			Detail string `json:"detail"`
		} `json:"undecided"`
	}
	if err := in.dec.Decode(&d); err != nil {
		return err
	}
	h.Lockouts = len(d.Lockouts)
	for _, l := range d.Lockouts {
		user := word(l.User)
		if l.Granted < 0 || l.Granted > maxCount {
			return fmt.Errorf("it says that %q has %d keys", user, l.Granted)
		}
		of := in.fleet.shut[user]
		if of == nil {
			of = &FleetLockout{User: user, Granted: l.Granted}
			in.fleet.shut[user] = of
		}
		of.Granted, of.Unsure, of.Hosts = min(of.Granted, l.Granted), of.Unsure || l.Unsure, once(of.Hosts, in.at)
	}
	for _, o := range d.Open {
		in.open(o.User, o.Path, o.Detail)
	}
	return in.fleet.full()
}

// open notes what is not resolved.
func (in *intake) open(user, path, detail string) {
	id := [3]string{word(user), word(path), word(detail)}
	if in.fleet.open[id] == nil {
		in.fleet.open[id] = &FleetFinding{User: id[0], Path: id[1], Detail: id[2]}
	}
	in.fleet.open[id].Hosts = once(in.fleet.open[id].Hosts, in.at)
}

// once adds a host to a list in which it can only be the last.
func once(hosts []int, host int) []int {
	if n := len(hosts); n > 0 && hosts[n-1] == host {
		return hosts
	}
	return append(hosts, host)
}

func (in *intake) accounts() error {
	if err := in.delim('['); err != nil {
		return err
	}
	for in.dec.More() {
		var u fleetUser
		in.from.next()
		if err := in.dec.Decode(&u); err != nil {
			return fmt.Errorf("an account: %w", err)
		}
		for _, odd := range u.Unkept { // once, for however many accounts
			in.open("", odd.Path, "read by sshd, not kept: "+odd.Why)
		}
		if err := in.fleet.full(); err != nil {
			return err
		}
		for _, file := range u.Files {
			for _, line := range file.Lines {
				if err := in.line(word(u.User), line, file.Change); err != nil {
					return err
				}
			}
		}
	}
	return in.delim(']')
}

func (in *intake) line(user string, l jsonLine, change bool) error {
	if l.Fingerprint == "" {
		return nil // a line without a key
	}
	fate := FleetFate{Host: in.at, Reason: l.Reason}
	switch l.Action {
	case ActionKeep, ActionRewrite:
		fate.Fate = FateStay
	case ActionAdd:
		fate.Fate = FateNew
	case ActionRemove:
		fate.Fate = FateGo
	default:
		return fmt.Errorf("a line of %s has the action %q, which is not known here", user, word(l.Action))
	}
	if fate.Fate != FateStay && !change { // it cannot be changed
		fate.Fate = FateOpen
	}
	if !isCode(l.Reason) || !isFingerprint(l.Fingerprint) || l.Bits < 0 {
		return fmt.Errorf("a line of %s has the reason %q and the fingerprint %q, which are none", user, word(l.Reason), word(l.Fingerprint))
	}
	id := fleetID{user, l.Fingerprint}
	k := in.fleet.keys[id]
	if k == nil {
		if len(in.fleet.keys) >= maxFleetKeys {
			return fmt.Errorf("more than %d keys of users", maxFleetKeys)
		}
		k = &FleetKey{User: user, Fingerprint: l.Fingerprint, Type: word(l.Type), Bits: l.Bits, Comment: word(l.Comment)}
		in.fleet.keys[id] = k
	} else if k.Type != word(l.Type) || k.Bits != l.Bits { // a fingerprint is that of one key
		return fmt.Errorf("a line of %s has %s as a key %s %d, which the report of %s has as %s %d", user, k.Fingerprint, word(l.Type), l.Bits, in.fleet.Hosts[k.Fates[0].Host].Host, k.Type, k.Bits)
	}
	if k.Cluster == "" { // on its own host alone a key may be known as that
		k.Cluster = Mark(word(string(l.Cluster)))
	}
	k.add(fate)
	return nil
}

// word is a text of a report that may be anybody's: plain in any case, and not long. What is plain already stays as it is, since reports hold
// escaped text.
func word(text string) string {
	if len(text) > maxWord {
		text = text[:maxWord] + "..."
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
		return plain.Text(text)
	}
	return text
}
