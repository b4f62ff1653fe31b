package authkeys

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Forced are options that stand behind a line's own ones, so that none of these undoes them. The zero Forced is none.
//
// sshd goes through the options from the left (sshauthopt_parse of auth-options.c): restrict clears all the switches that stand before
// it, and of one switch the last word counts. It takes the earliest of several expiry-time, and refuses a line with two commands or two
// from.
type Forced struct {
	switches [5]word // by switchNames
	restrict bool
	touch    bool
	verify   bool
	command  string // the whole item
	from     string // the value
	expiries []string
}

// word is what is said of a switch.
type word int8

const (
	silent word = iota
	on
	off
)

// switchNames are the rights that restrict takes, as restrict's own names for them.
func switchNames() [5]string {
	return [...]string{"port-forwarding", "agent-forwarding", "x11-forwarding", "pty", "user-rc"}
}

// maxForced keeps room in a line for its own options.
const maxForced = maxOptions / 4

// JoinForced makes options that are forced of several lists, each of which counts. What is no option for everybody's lines is an error, and so
// is what cannot be joined: two commands, and two from that are not addresses and networks or have none in common.
func JoinForced(lists ...Options) (f Forced, err error) {
	for _, list := range lists {
		for name, item := range list.items() {
			if err := f.join(name, item); err != nil {
				return Forced{}, err
			}
		}
	}
	if f.restrict {
		for i, said := range f.switches {
			if said == off {
				f.switches[i] = silent
			}
		}
	} else {
		for i, said := range f.switches {
			if said == on { // it would undo what a line itself gives up
				f.switches[i] = silent
			}
		}
	}
	if n := len(f.Options().text); n > maxForced {
		return Forced{}, fmt.Errorf("the forced options have %d bytes, at most %d are allowed", n, maxForced)
	}
	return f, nil
}

func (f *Forced) join(name, item string) error {
	switch name {
	case "restrict":
		f.restrict, f.switches = true, [5]word{}
	case "touch-required":
		f.touch = true
	case "verify-required":
		f.verify = true
	case "expiry-time":
		if !slices.Contains(f.expiries, item) {
			f.expiries = append(f.expiries, item)
		}
	case "command":
		if f.command != "" && f.command != item {
			return errors.New("two commands are forced, and sshd takes one")
		}
		f.command = item
	case "from":
		return f.joinFrom(valueOf(item))
	default:
		bare, negated := strings.CutPrefix(name, "no-")
		names := switchNames()
		at := slices.Index(names[:], bare)
		if at < 0 {
			return fmt.Errorf("%s cannot be forced", name)
		}
		f.switches[at] = on
		if negated {
			f.switches[at] = off
		}
	}
	return nil
}

func (f *Forced) joinFrom(value string) error {
	if err := checkFrom(value); err != nil {
		return err
	}
	if f.from == "" || f.from == value {
		f.from = value
		return nil
	}
	both, err := meet(f.from, value)
	if err != nil {
		return fmt.Errorf("two from are forced, %s and %s: %w", quoted(f.from), quoted(value), err)
	}
	f.from = both
	return nil
}

// IsZero reports whether nothing is forced.
func (f Forced) IsZero() bool { return f.Options().IsZero() }

// Options are those of a line that has none of its own.
func (f Forced) Options() Options {
	var s optionScanner
	f.appendTo(&s, [5]word{}, f.from)
	return Options{text: string(s.text)}
}

// Behind gives the options of a line with own ones: what is forced stands behind them, and it comes out the same where it does already. A
// forced command takes the place of an own one. Of an own from and a forced one that remains which both admit; where that cannot be said
// by addresses and networks, or is nothing, it is an error, and so are too many options.
func (f Forced) Behind(own Options) (Options, error) {
	from := f.from
	if value, has := own.from(); has && f.from != "" && value != f.from {
		both, err := meet(value, f.from)
		if err != nil {
			return Options{}, fmt.Errorf("its from and the one that is forced, %s, cannot be joined: %w", quoted(f.from), err)
		}
		from = both
	}
	return f.render(own, from)
}

// Over is Behind for a line of a user's own: where an own from cannot be joined, it gives way to the forced one.
func (f Forced) Over(own Options) (Options, error) {
	if joined, err := f.Behind(own); err == nil {
		return joined, nil
	}
	return f.render(own, f.from)
}

// Lift is Over for a line whose own options may end with what was forced once: of such lists nothing stays. A list with which the present
// ones end is forced still, and none of these.
func (f Forced) Lift(own Options, lists ...Options) (lifted Options, err error) {
	now := f.Options()
	for i := 0; ; i++ {
		for is := true; is; {
			is = false
			for _, list := range lists { // once more after each, since one may stand behind another
				if !list.IsZero() && !now.endsWith(list) && own.endsWith(list) {
					own, is = Options{text: strings.TrimSuffix(strings.TrimSuffix(own.text, list.text), ",")}, true
				}
			}
		}
		// What is put behind may make such an end of what was none: then the next look would lift it.
		if lifted, err = f.Over(own); err != nil || lifted == own || i == maxOptions {
			return lifted, err
		}
		own = lifted
	}
}

// endsWith reports whether the last options are those of a list.
func (o Options) endsWith(list Options) bool {
	rest, is := strings.CutSuffix(o.text, list.text)
	return is && (rest == "" || strings.HasSuffix(rest, ","))
}

func (f Forced) render(own Options, from string) (Options, error) {
	if f.IsZero() {
		return own, nil
	}
	var s optionScanner
	var said [5]word // by own
	for name, item := range own.items() {
		switch {
		case name == "restrict":
			said = [5]word{off, off, off, off, off}
			if f.restrict {
				continue
			}
		case f.replaces(name, item, &said):
			continue
		}
		s.add(item)
	}
	f.appendTo(&s, said, from)
	if len(s.text) > maxOptions {
		return Options{}, fmt.Errorf("more than %d bytes of options with those that are forced", maxOptions)
	}
	return Options{text: string(s.text)}, nil
}

// replaces reports whether an own option goes, since what is forced says all about it. What it says of a switch is noted.
func (f Forced) replaces(name, item string, said *[5]word) bool {
	bare := strings.TrimPrefix(name, "no-")
	names := switchNames()
	if at := slices.Index(names[:], bare); at >= 0 {
		said[at] = on
		if name != bare {
			said[at] = off
		}
		return f.restrict || f.switches[at] == off
	}
	switch bare {
	case "touch-required":
		return f.touch
	case "verify-required":
		return f.verify
	case "command":
		return f.command != ""
	case "from":
		return f.from != ""
	case "expiry-time":
		return slices.Contains(f.expiries, item)
	}
	return false
}

// appendTo adds the items in their order. A switch that is left on behind a forced restrict is not, if the own options gave it up.
func (f Forced) appendTo(s *optionScanner, own [5]word, from string) {
	if f.restrict {
		s.add("restrict")
	}
	for i, name := range switchNames() {
		switch {
		case f.switches[i] == off:
			s.add("no-" + name)
		case f.switches[i] == on && own[i] != off:
			s.add(name)
		}
	}
	if f.touch {
		s.add("touch-required")
	}
	if f.verify {
		s.add("verify-required")
	}
	if from != "" {
		s.add(itemOf("from", from))
	}
	if f.command != "" {
		s.add(f.command)
	}
	for _, item := range f.expiries {
		s.add(item)
	}
}

// from is the value of the option, if there is one.
func (o Options) from() (value string, has bool) {
	for name, item := range o.items() {
		if name == "from" {
			return valueOf(item), true
		}
	}
	return "", false
}
