package enforcer_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/homes"
)

// One administrator with a key that logs in afterwards is enough, and only what was read whole counts.
func TestCheckAdmins(t *testing.T) {
	look := func(file homes.File, install bool, registered ...string) enforcer.Result {
		return enforcer.Result{Account: alice, Plans: []enforcer.Plan{enforcer.MakePlan(enforcer.Input{
			Account: alice, Name: ".ssh/authorized_keys", File: file, Grants: grants(t, registered...), Install: install,
		})}}
	}
	kept := func(result enforcer.Result) enforcer.Admin {
		return enforcer.Admin{Name: "alice", Kept: true, Result: result}
	}
	left := func(result enforcer.Result) enforcer.Admin { return enforcer.Admin{Name: "alice", Result: result} }
	failed := func(why string) enforcer.Result { return enforcer.Result{Account: alice, Err: errors.New(why)} }
	missing := homes.File{State: homes.Missing}
	a, b := regular(lineA+" me\n"), regular(lineB+" old\n")
	untidy, exposed, barred := a, a, regular(lineA+"\n"+lineB+"\n")
	untidy.Tidy, exposed.Remark, barred.Barred = false, "others may write", homes.Immutable
	half := look(b, false, lineA)
	half.Err = errors.New("read authorized_keys2: input/output error")
	whole := look(a, false, lineA)
	whole.Err = half.Err

	for name, test := range map[string]struct {
		grants []string
		list   []enforcer.Admin
		want   string // of the error; "" for none
	}{
		"nobody is named":              {nil, nil, ""},
		"a granted key":                {[]string{lineA}, []enforcer.Admin{kept(look(a, false, lineA))}, ""},
		"beside one that goes":         {[]string{lineA}, []enforcer.Admin{kept(look(regular(mixed), false, lineA))}, ""},
		"no key is registered":         {nil, []enforcer.Admin{kept(look(a, false))}, "alice: the registry and the policy grant him no key"},
		"another key is registered":    {[]string{lineA}, []enforcer.Admin{kept(look(b, false, lineA))}, "alice: no key in his files is granted"},
		"it is installed":              {[]string{lineA}, []enforcer.Admin{kept(look(b, true, lineA))}, ""},
		"into a new file":              {[]string{lineA}, []enforcer.Admin{kept(look(missing, true, lineA))}, ""},
		"no file":                      {[]string{lineA}, []enforcer.Admin{kept(look(missing, false, lineA))}, "no key in his files is granted"},
		"for one command":              {[]string{`command="backup" ` + lineA}, []enforcer.Admin{kept(look(regular(`command="backup" `+lineA+"\n"), false, `command="backup" `+lineA))}, "no key in his files is granted"},
		"until a day":                  {[]string{lineA}, []enforcer.Admin{kept(look(regular(`expiry-time="20200101" `+lineA+"\n"), false, lineA))}, "no key in his files is granted"},
		"a link, replaced":             {[]string{lineA}, []enforcer.Admin{kept(look(homes.File{State: homes.Symlink}, false, lineA))}, ""},
		"a mode, mended":               {[]string{lineA}, []enforcer.Admin{kept(look(untidy, false, lineA))}, ""},
		"others may write":             {[]string{lineA}, []enforcer.Admin{kept(look(exposed, false, lineA))}, "no key in his files is granted"},
		"cannot be changed":            {[]string{lineA}, []enforcer.Admin{kept(look(barred, false, lineA))}, "no key in his files is granted"},
		"a FIFO":                       {[]string{lineA}, []enforcer.Admin{kept(look(homes.File{State: homes.Irregular, Detail: "a FIFO"}, false, lineA))}, "no key in his files is granted"},
		"home not readable":            {[]string{lineA}, []enforcer.Admin{kept(failed("permission denied\nand more"))}, "alice: permission denied; and more"},
		"one file not readable":        {[]string{lineA}, []enforcer.Admin{kept(half)}, "alice: read authorized_keys2: input/output error"},
		"the other has the key":        {[]string{lineA}, []enforcer.Admin{kept(whole)}, ""},
		"no home":                      {[]string{lineA}, []enforcer.Admin{kept(enforcer.Result{Account: alice, NoHome: true})}, "alice: he has no home"},
		"sshd reads no file":           {[]string{lineA}, []enforcer.Admin{kept(enforcer.Result{Account: alice})}, ""},
		"no file, for one command":     {[]string{`command="backup" ` + lineA}, []enforcer.Admin{kept(enforcer.Result{Account: alice})}, "no key in his files is granted"},
		"no file, no key":              {nil, []enforcer.Admin{kept(enforcer.Result{Account: alice})}, "grant him no key"},
		"no file that is kept":         {[]string{lineA}, []enforcer.Admin{kept(enforcer.Result{Account: alice, Unkept: []homes.Unkept{{Path: "/keys"}}})}, "no key in his files is granted"},
		"no file, left":                {[]string{lineA}, []enforcer.Admin{left(enforcer.Result{Account: alice})}, "there is no key in his files"},
		"not known":                    {nil, []enforcer.Admin{{Name: "alice", Err: errors.New("who?")}}, "alice: who?"},
		"left as he is":                {nil, []enforcer.Admin{left(look(b, false))}, ""},
		"left, without a key":          {nil, []enforcer.Admin{left(look(regular("# none\ncert-authority "+lineB+"\n"), false))}, "alice: there is no key in his files"},
		"left, his file a link":        {nil, []enforcer.Admin{left(look(homes.File{State: homes.Symlink, Data: []byte(lineB + "\n")}, false))}, "there is no key in his files"},
		"left, sshd may refuse it":     {nil, []enforcer.Admin{left(look(untidy, false))}, "there is no key in his files"},
		"left, home not readable":      {nil, []enforcer.Admin{left(failed("permission denied"))}, "permission denied"},
		"the second of two":            {[]string{lineA}, []enforcer.Admin{kept(failed("permission denied")), kept(look(a, false, lineA))}, ""},
		"two, and none of them":        {[]string{lineA}, []enforcer.Admin{kept(failed("permission denied")), kept(look(b, false, lineA))}, "alice: permission denied; alice: no key in his files is granted"},
		"granted to somebody else":     {nil, []enforcer.Admin{kept(look(regular(lineD+"\n"), false))}, "grant him no key"},
		"an authority, though granted": {[]string{lineA}, []enforcer.Admin{kept(look(regular("cert-authority "+lineA+"\n"), false, lineA))}, "no key in his files is granted"},
	} {
		err := enforcer.CheckAdmins(test.list, grants(t, test.grants...))
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case test.want != "" && (!errors.Is(err, enforcer.ErrNoAdmin) || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n")):
			t.Errorf("%s: error %v, want %q", name, err, test.want)
		}
	}
}
