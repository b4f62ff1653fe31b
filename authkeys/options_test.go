package authkeys_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/authkeys"
)

func TestParseOptionsCanonical(t *testing.T) {
	cases := map[string]string{
		``:                               ``,
		`,`:                              ``,
		`,,,`:                            ``,
		`restrict`:                       `restrict`,
		`,restrict,,PTY,`:                `restrict,pty`,
		`No-Touch-Required`:              `no-touch-required`,
		`no-X11-forwarding`:              `no-x11-forwarding`,
		`CERT-authority`:                 `cert-authority`,
		`Command="Echo \"A b\", C"`:      `command="Echo \"A b\", C"`,
		`command="a\\"b\c"`:              `command="a\\"b\c"`,
		`command=""`:                     `command=""`,
		"environment=\"X=\ta\"":          "environment=\"X=\ta\"",
		`environment="X=é",from="*"`:     `environment="X=é",from="*"`,
		`environment="X=1"`:              `environment="X=1"`,
		`environment="_9=",restrict`:     `environment="_9=",restrict`,
		`permitopen="localhost:80"`:      `permitopen="localhost:80"`,
		`permitopen="[::1]:80"`:          `permitopen="[::1]:80"`,
		`permitopen="host/http"`:         `permitopen="host/http"`,
		`permitopen=":*"`:                `permitopen=":*"`,
		`permitopen="h: +80"`:            `permitopen="h: +80"`,
		`permitopen="h:3com-tsmux"`:      `permitopen="h:3com-tsmux"`,
		`permitlisten="8080"`:            `permitlisten="8080"`,
		`permitlisten="*"`:               `permitlisten="*"`,
		`PermitListen="localhost:8080"`:  `permitlisten="localhost:8080"`,
		`tunnel="ANY"`:                   `tunnel="ANY"`,
		`tunnel="0"`:                     `tunnel="0"`,
		`tunnel="2147483645"`:            `tunnel="2147483645"`,
		`expiry-time="20990101"`:         `expiry-time="20990101"`,
		`expiry-time="209901012359Z"`:    `expiry-time="209901012359Z"`,
		`expiry-time="20990101235961z"`:  `expiry-time="20990101235961z"`,
		`expiry-time="20990231UTC"`:      `expiry-time="20990231UTC"`,
		`expiry-time="19700101"`:         `expiry-time="19700101"`,
		`expiry-time="1",expiry-time=""`: `error`,
		`expiry-time="20990101",EXPIRY-TIME="20200101"`: `expiry-time="20990101",expiry-time="20200101"`,

		` `: `error`, `restrict `: `error`, `restrict pty`: `error`, "restrict\tpty": `error`,
		`foo`: `error`, `ptyx`: `error`, `no-restrict`: `error`, `no-no-pty`: `error`, `no-`: `error`, `restrict="x"`: `error`,
		`command`: `error`, `command=`: `error`, `command=x`: `error`, `command='x'`: `error`, `no-command="x"`: `error`,
		`command="x`: `error`, `command="x\"`: `error`, `command="x"y`: `error`, `command="x"restrict`: `error`,
		`command="a",command="a"`: `error`, `from="a",FROM="a"`: `error`, `principals="a",principals="b"`: `error`,
		`environment="X"`: `error`, `environment="=1"`: `error`, `environment="X-Y=1"`: `error`, `environment="é=1"`: `error`,
		`permitopen="localhost"`: `error`, `permitopen="h:0"`: `error`, `permitopen="h:65536"`: `error`, `permitopen="h:"`: `error`,
		`permitopen="[::1"`: `error`, `permitopen="[::1]"`: `error`, `permitopen="[::1]x:80"`: `error`, `permitopen="80"`: `error`,
		`permitopen="h:8 0"`: `error`, `permitlisten=""`: `error`, `permitlisten="a/80"`: `error`, `permitopen="h:-1"`: `error`,
		`tunnel="x"`: `error`, `tunnel=""`: `error`, `tunnel="-1"`: `error`, `tunnel="0:1"`: `error`, `tunnel="2147483646"`: `error`,
		`expiry-time="209901"`: `error`, `expiry-time="20991301"`: `error`, `expiry-time="20990100"`: `error`, `expiry-time="209901012400"`: `error`,
		`expiry-time="2099-1-1"`: `error`, `expiry-time="19700101Z"`: `error`, `expiry-time="19700101000000UTC"`: `error`, `expiry-time="Z"`: `error`,
		"restri\u017ft": `error`, "restrict\x00": `error`, "command=\"a\rb\"": `error`, "command=\"a\x7f\"": `error`, "command=\"\xff\"": `error`,
		"command=\"a\u202eb\"": `error`, "command=\"a\u00a0b\"": `error`, "command=\"a\nb\"": `error`, "command=\"a\x00b\"": `error`,
		`restrict\"`: `error`, `"restrict"`: `error`, `""`: `error`,
	}
	for field, want := range cases {
		options, err := authkeys.ParseOptions(field)
		got := options.String()
		if err != nil {
			failure, ok := errors.AsType[*authkeys.ParseError](err)
			if !ok || failure.Reason != "malformed-options" || !options.IsZero() {
				t.Errorf("%q: odd error %v with options %q", field, err, got)
			}
			got = "error"
		}
		if got != want {
			t.Errorf("%q: got %q (%v), want %q", field, got, err, want)
		}
	}
}

func TestOptionsBound(t *testing.T) {
	fits := `command="` + strings.Repeat("x", 4096-len(`command=""`)) + `"`
	if o, err := authkeys.ParseOptions(fits); err != nil || o.String() != fits {
		t.Errorf("4096 bytes: %v", err)
	}
	if _, err := authkeys.ParseOptions(fits + ",pty"); err == nil {
		t.Error("4100 bytes are not refused")
	}
	if o, err := authkeys.ParseOptions(strings.Repeat(",", 1<<20)); err != nil || !o.IsZero() {
		t.Errorf("a million commas: %v", err)
	}
}

func TestOptionsQuestions(t *testing.T) {
	const narrow = `from="a",expiry-time="20990101",permitopen="a:1",permitlisten="1",no-pty`
	cases := []struct {
		field     string
		has       string
		hasNot    string
		authority bool
		narrowing string
	}{
		{``, ``, `restrict`, false, ``},
		{`restrict,pty`, `pty`, `no-pty`, false, `restrict,pty`},
		{`command="a,cert-authority,b"`, `command`, `cert-authority`, false, `command="a,cert-authority,b"`},
		{`command="\",tunnel=\"0"`, `command`, `tunnel`, false, `command="\",tunnel=\"0"`},
		{`Cert-Authority,from="*"`, `cert-authority`, `principals`, true, `from="*"`},
		{`principals="a"`, `principals`, `cert-authority`, true, ``},
		{`environment="LD_PRELOAD=x",restrict,tunnel="0"`, `tunnel`, `pty`, false, `restrict`},
		{`no-touch-required,no-verify-required,verify-required,touch-required`, `no-touch-required`, `no-pty`, false, `verify-required,touch-required`},
		{narrow, `permitlisten`, `environment`, false, narrow},
	}
	for _, c := range cases {
		o, err := authkeys.ParseOptions(c.field)
		if err != nil {
			t.Fatalf("%s: %v", c.field, err)
		}
		if c.has != "" && !o.Has(c.has) {
			t.Errorf("%s: Has(%s) is false", c.field, c.has)
		}
		if o.Has(c.hasNot) || o.Has("") {
			t.Errorf("%s: Has(%s) or Has of nothing is true", c.field, c.hasNot)
		}
		if o.CertAuthority() != c.authority {
			t.Errorf("%s: CertAuthority is %v", c.field, o.CertAuthority())
		}
		if diff := cmp.Diff(c.narrowing, o.Narrowing().String()); diff != "" {
			t.Errorf("%s: Narrowing:\n%s", c.field, diff)
		}
	}
}
