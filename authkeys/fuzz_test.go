package authkeys_test

import (
	"errors"
	"testing"

	"github.com/keyreeve/keyreeve/authkeys"
)

// FuzzParse holds the laws of reading and writing for any text.
func FuzzParse(f *testing.F) {
	for _, v := range loadVectors(f) {
		f.Add(v.text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		checkLaws(t, text)
	})
}

// FuzzOptions: canonical text is its own canonical text, and as an options field it is what a line carries.
func FuzzOptions(f *testing.F) {
	for _, seed := range []string{`restrict,,PTY`, `command="a \"b\" c",from="*"`, `environment="X=\\",tunnel="any"`, `permitopen="[::1]:80"`, `expiry-time="20990101Z"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, field string) {
		o, err := authkeys.ParseOptions(field)
		if err != nil {
			if !o.IsZero() {
				t.Errorf("options %q with error %v", o, err)
			}
			return
		}
		checkOptions(t, o)
		l := authkeys.Parse([]byte(field + " " + keyA))[0]
		if field != "" && (l.Kind != authkeys.Entry || l.Options != o) {
			t.Errorf("field %q gives %q, in a line %s %q (%v)", field, o, l.Kind, l.Options, l.Err)
		}
	})
}

// checkOptions holds the laws of options.
func checkOptions(t *testing.T, o authkeys.Options) {
	t.Helper()
	for _, text := range []authkeys.Options{o, o.Narrowing()} {
		if again, err := authkeys.ParseOptions(text.String()); err != nil || again != text {
			t.Errorf("%q reads back as %q, %v", text, again, err)
		}
	}
	narrow := o.Narrowing()
	if narrow.Narrowing() != narrow {
		t.Errorf("narrowing %q twice gives %q", o, narrow.Narrowing())
	}
	for _, wide := range []string{"environment", "tunnel", "no-touch-required", "no-verify-required", "cert-authority", "principals"} {
		if narrow.Has(wide) {
			t.Errorf("%q still has %s", narrow, wide)
		}
	}
	if narrow.CertAuthority() {
		t.Errorf("%q still makes an authority", narrow)
	}
	for _, kept := range []string{"command", "from", "restrict", "expiry-time", "permitopen", "no-pty", "verify-required"} {
		if narrow.Has(kept) != o.Has(kept) {
			t.Errorf("%q lost %s of %q", narrow, kept, o)
		}
	}
}

// FuzzParseValue: a value is one Entry or an error, and an Entry is written as one line of at most 8 KiB.
func FuzzParseValue(f *testing.F) {
	for _, v := range loadVectors(f) {
		f.Add(v.text)
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		l, err := authkeys.ParseValue(value)
		if err != nil {
			if _, ok := errors.AsType[*authkeys.ParseError](err); !ok || !l.Key.IsZero() {
				t.Errorf("odd error %v with key %v", err, l.Key)
			}
			return
		}
		if l.Kind != authkeys.Entry || l.Key.IsZero() || len(l.AppendTo(nil)) > 8<<10 {
			t.Errorf("value %q gives %+v", value, l)
		}
		checkLine(t, l)
		if again, err := authkeys.ParseBlob(l.Key.Wire()); err != nil || again != l.Key {
			t.Errorf("the key of %q is not canonical: %v", value, err)
		}
	})
}
