package authkeys_test

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/keyreeve/keyreeve/authkeys"
)

func options(t *testing.T, field string) authkeys.Options {
	t.Helper()
	o, err := authkeys.ParseOptions(field)
	if err != nil {
		t.Fatalf("%s: %v", field, err)
	}
	return o
}

func TestForcedBehind(t *testing.T) {
	cases := []struct{ forced, own, want string }{
		{``, `pty,restrict`, `pty,restrict`},
		{`restrict`, ``, `restrict`},
		{`restrict`, `restrict,pty,port-forwarding`, `restrict`},
		{`restrict`, `pty`, `restrict`},
		{`restrict,pty`, ``, `restrict,pty`},
		{`restrict,pty`, `restrict,pty,port-forwarding`, `restrict,pty`},
		{`restrict,pty`, `no-pty`, `restrict`},
		{`restrict,pty`, `restrict`, `restrict`},
		{`restrict,pty`, `command="ls"`, `command="ls",restrict,pty`},
		{`restrict,pty,restrict`, ``, `restrict`},
		{`restrict,pty,no-pty`, ``, `restrict`},
		{`pty`, `no-pty`, `no-pty`},
		{`no-port-forwarding`, `restrict,port-forwarding,pty`, `restrict,pty,no-port-forwarding`},
		{`No-X11-Forwarding`, `permitopen="h:1"`, `permitopen="h:1",no-x11-forwarding`},
		{`verify-required,touch-required`, `no-verify-required,no-touch-required`, `touch-required,verify-required`},
		{`command="gate"`, `command="ls \"x\"",no-pty`, `no-pty,command="gate"`},
		{`expiry-time="20990101"`, `expiry-time="20300101"`, `expiry-time="20300101",expiry-time="20990101"`},
		{`expiry-time="20990101"`, `expiry-time="20990101",restrict`, `restrict,expiry-time="20990101"`},
		{`from="10.0.0.0/8,192.0.2.7"`, ``, `from="10.0.0.0/8,192.0.2.7"`},
		{`from="10.0.0.0/8,192.0.2.7"`, `from="10.1.2.3"`, `from="10.1.2.3"`},
		{`from="10.0.0.0/8,192.0.2.7"`, `from="0.0.0.0/0"`, `from="10.0.0.0/8,192.0.2.7"`},
		{`from="10.0.0.0/8"`, `from="10.2.0.0/16,10.2.3.4,10.1.0.0/16,2001:db8::/32"`, `from="10.1.0.0/16,10.2.0.0/16"`},
		{`from="2001:db8::/32"`, `from="2001:db8:1::/48,10.0.0.1"`, `from="2001:db8:1::/48"`},
		{`from="*.example.org"`, `from="*.example.org"`, `from="*.example.org"`},
		{`from="10.0.0.0/8"`, `from="192.0.2.7"`, `error`},
		{`from="10.0.0.0/8"`, `from="*.example.org"`, `error`},
		{`from="10.0.0.0/8"`, `from="!10.0.0.1,10.0.0.0/16"`, `error`},
		{`from="10.0.0.0/8"`, `from="10.0.0.1/16"`, `error`},
		{`from="10.0.0.0/8"`, `from="10.0.0.*"`, `error`},
		{`from="*.example.org"`, `from="10.0.0.1"`, `error`},
		{`from="0.0.0.0/0"`, `from="::ffff:10.0.0.1"`, `error`},
	}
	for _, c := range cases {
		f, err := authkeys.JoinForced(options(t, c.forced))
		if err != nil {
			t.Fatalf("%s: %v", c.forced, err)
		}
		got, err := f.Behind(options(t, c.own))
		text := got.String()
		if err != nil {
			text = "error"
		}
		if text != c.want {
			t.Errorf("%s behind %s: got %s (%v), want %s", c.forced, c.own, text, err, c.want)
		}
		over, err := f.Over(options(t, c.own))
		if want := c.want; err != nil || want != "error" && over.String() != want || want == "error" && over != f.Options() {
			t.Errorf("%s over %s: got %s, %v", c.forced, c.own, over, err)
		}
	}
}

func TestForcedJoin(t *testing.T) {
	cases := []struct{ a, b, want string }{
		{`restrict`, `pty,from="10.0.0.0/8"`, `restrict,pty,from="10.0.0.0/8"`},
		{`from="10.0.0.0/8"`, `from="10.0.0.1,192.0.2.7"`, `from="10.0.0.1"`},
		{`command="a"`, `command="a"`, `command="a"`},
		{`command="a"`, `command="b"`, `error`},
		{`from="10.0.0.0/8"`, `from="192.0.2.7"`, `error`},
		{`from="a.example.org"`, `from="192.0.2.7"`, `error`},
		{`from="10.0.0.1/8"`, ``, `error`},
		{`from="10.0.0.0/8,::ffff:192.0.2.7"`, ``, `error`},
		{`from="!::ffff:c000:200/120,*"`, ``, `error`},
		{`from="10.2.0.0/16,10.1.0.0/16,10.1.2.0/24,2001:db8::/32"`, `from="::/0,10.0.0.0/8,10.0.0.0/15"`, `from="10.1.0.0/16,10.2.0.0/16,2001:db8::/32"`},
		{`from="!10.0.0.1"`, ``, `error`},
		{`from="10.0.0.1, 10.0.0.2"`, ``, `error`},
		{`from=""`, ``, `error`},
		{`environment="A=b"`, ``, `error`},
		{`tunnel="0"`, ``, `error`},
		{`permitopen="h:1"`, ``, `error`},
		{`permitlisten="1"`, ``, `error`},
		{`no-touch-required`, ``, `error`},
		{`no-verify-required`, ``, `error`},
		{`cert-authority`, ``, `error`},
		{`principals="a"`, ``, `error`},
		{`command="` + strings.Repeat("x", 1025) + `"`, ``, `error`},
	}
	for _, c := range cases {
		f, err := authkeys.JoinForced(options(t, c.a), options(t, c.b))
		got := f.Options().String()
		if err != nil {
			got = "error"
		}
		if got != c.want {
			t.Errorf("%s and %s: got %s (%v), want %s", c.a, c.b, got, err, c.want)
		}
	}
}

// items are options that meet each other in every way.
func items() []string {
	return []string{
		"restrict", "pty", "no-pty", "port-forwarding", "no-port-forwarding", "agent-forwarding", "no-x11-forwarding", "user-rc", "no-user-rc",
		"touch-required", "no-touch-required", "verify-required", "no-verify-required", `expiry-time="20990101"`, `expiry-time="20300101Z"`,
		`permitopen="h:1"`, `environment="A=b"`, `tunnel="0"`,
	}
}

func draw(rt *rapid.T, name string) authkeys.Options {
	list := rapid.SliceOfN(rapid.SampledFrom(items()), 0, 6).Draw(rt, name)
	for _, one := range [][]string{
		{"", `from="10.0.0.0/8,192.0.2.7"`, `from="10.1.0.0/16"`, `from="*.example.org"`, `from="192.0.2.7"`, `from="2001:db8::/32"`},
		{"", `command="a"`, `command="b"`},
	} {
		if item := rapid.SampledFrom(one).Draw(rt, name+" once"); item != "" {
			list = append(list, item)
		}
	}
	o, err := authkeys.ParseOptions(strings.Join(list, ","))
	if err != nil {
		rt.Fatal(err)
	}
	return o
}

// rights is what sshd makes of options (sshauthopt_parse): which rights are there, said by a reader of its own.
func rights(o authkeys.Options) map[string]bool {
	may := map[string]bool{"port-forwarding": true, "agent-forwarding": true, "x11-forwarding": true, "pty": true, "user-rc": true}
	for name := range o.Names() {
		bare, negated := strings.CutPrefix(name, "no-")
		switch {
		case name == "restrict":
			for right := range may {
				may[right] = false
			}
		case bare == "touch-required" || bare == "verify-required":
			may["without "+bare] = negated
		default:
			if _, is := may[bare]; is {
				may[bare] = !negated
			}
		}
	}
	return may
}

// Whatever a line has, forced options stand: no right is there that they or the line itself take away, and forcing twice is forcing once.
func TestForcedStand(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		demand := draw(rt, "forced").Only(forcible)
		f, err := authkeys.JoinForced(demand)
		if err != nil {
			rt.Fatalf("%s: %v", demand, err)
		}
		own := draw(rt, "own")
		got, err := f.Over(own)
		if err != nil {
			rt.Fatal(err)
		}
		if _, err := authkeys.ParseOptions(got.String()); err != nil {
			rt.Fatalf("%s over %s: sshd would refuse %s: %v", demand, own, got, err)
		}
		once := []authkeys.Options{draw(rt, "lifted").Only(forcible), draw(rt, "lifted as well").Only(forcible)}
		line := own
		if rapid.Bool().Draw(rt, "both were forced") {
			line = joined(rt, own.Only(repeats), once[0].Only(repeats), once[1])
		}
		lifted, err := f.Lift(line, once...)
		if err != nil {
			rt.Fatal(err)
		}
		if again, err := f.Lift(lifted, once...); err != nil || again != lifted {
			rt.Fatalf("%s lifted from %s: %s becomes %s, %v", once, line, lifted, again, err)
		}
		if again, err := f.Over(lifted); err != nil || again != lifted {
			rt.Fatalf("%s lifted from %s: %s lacks what is forced, %s", once, line, lifted, demand)
		}
		if again, err := f.Over(got); err != nil || again != got {
			rt.Fatalf("%s over %s: %s becomes %s, %v", demand, own, got, again, err)
		}
		has, forced, before := rights(got), rights(demand), rights(own)
		for right, is := range has {
			if is && !forced[right] && demandSays(demand, right) {
				rt.Fatalf("%s over %s: %s has %s", demand, own, got, right)
			}
			if is && !before[right] {
				rt.Fatalf("%s over %s: %s has %s, which the line had given up", demand, own, got, right)
			}
		}
		for name := range demand.Names() {
			if (name == "from" || name == "command" || name == "expiry-time") && !got.Has(name) {
				rt.Fatalf("%s over %s: %s lost %s", demand, own, got, name)
			}
		}
	})
}

// joined are the options of several lists, one behind the other.
func joined(rt *rapid.T, lists ...authkeys.Options) authkeys.Options {
	var texts []string
	for _, list := range lists {
		if !list.IsZero() {
			texts = append(texts, list.String())
		}
	}
	o, err := authkeys.ParseOptions(strings.Join(texts, ","))
	if err != nil {
		rt.Fatal(err)
	}
	return o
}

// repeats reports whether an option may stand twice.
func repeats(name string) bool { return name != "from" && name != "command" }

func forcible(name string) bool {
	switch strings.TrimPrefix(name, "no-") {
	case "restrict", "pty", "port-forwarding", "agent-forwarding", "x11-forwarding", "user-rc":
		return true
	}
	return slices.Contains([]string{"touch-required", "verify-required", "from", "command", "expiry-time"}, name)
}

// demandSays reports whether forced options speak of a right at all.
func demandSays(demand authkeys.Options, right string) bool {
	if bare, sk := strings.CutPrefix(right, "without "); sk {
		return demand.Has(bare)
	}
	return true
}

func TestForcedLift(t *testing.T) {
	for _, c := range []struct{ forced, own, want string }{
		{``, `restrict,from="10.0.0.0/8"`, ``},
		{``, `no-pty,restrict,from="10.0.0.0/8"`, `no-pty`},
		{``, `from="10.0.0.0/8",restrict`, `from="10.0.0.0/8",restrict`},
		{``, `from="10.0.0.0/8"`, `from="10.0.0.0/8"`},
		{`from="10.0.0.0/8,192.0.2.7"`, `restrict,from="10.0.0.0/8"`, `from="10.0.0.0/8,192.0.2.7"`},
		{`from="10.0.0.0/8"`, `restrict,from="10.0.0.0/8"`, `from="10.0.0.0/8"`},
		{`restrict,pty,from="10.0.0.0/8"`, `restrict,from="10.0.0.0/8"`, `restrict,pty,from="10.0.0.0/8"`},
		{`restrict,from="10.0.0.0/8"`, `pty,restrict,from="10.0.0.0/8"`, `restrict,from="10.0.0.0/8"`},
		{``, `command="restrict,from=\"10.0.0.0/8\""`, `command="restrict,from=\"10.0.0.0/8\""`},
	} {
		f, err := authkeys.JoinForced(options(t, c.forced))
		if err != nil {
			t.Fatal(err)
		}
		got, err := f.Lift(options(t, c.own), options(t, `restrict,from="10.0.0.0/8"`))
		if err != nil || got.String() != c.want {
			t.Errorf("%s, now %s: got %s (%v), want %s", c.own, c.forced, got, err, c.want)
		}
	}
	var none authkeys.Forced // of several lists one may stand behind another, and all go in one look
	for _, own := range []string{`no-pty,no-user-rc`, `no-user-rc,no-pty`, `no-pty,no-user-rc,no-pty`} {
		if got, err := none.Lift(options(t, own), options(t, `no-pty`), options(t, `no-user-rc`)); err != nil || !got.IsZero() {
			t.Errorf("%s: got %s, %v", own, got, err)
		}
	}
}
