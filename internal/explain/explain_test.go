package explain

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/doctor"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/host"
	"github.com/keyreeve/keyreeve/policy"
)

const (
	first  = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHnxoe+mmuhR7yxmTmqCw1YYMfdhbsay07eRJlF1T1ve"
	second = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3dQpKjqCTiEBuBCHTsfXHYmUIb1eeoiyC3xxo3Gu9q"
)

func keyOf(t *testing.T, line string) authkeys.Key {
	t.Helper()
	parsed, err := authkeys.ParseValue([]byte(line))
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Key
}

// ada is somebody whose registered key logs in by the second line of her file; the first one has a key that nobody registered.
func ada(t *testing.T) Facts {
	t.Helper()
	mine := keyOf(t, first)
	granted := policy.Verdict{Reason: policy.ReasonGranted}
	levels := []homes.Level{{Path: "/home/ada/.ssh/authorized_keys", UID: 2001, GID: 2001, Mode: 0o600}, {Path: "/home/ada/.ssh", UID: 2001, GID: 2001, Mode: 0o700}, {Path: "/home/ada", UID: 2001, GID: 2001, Mode: 0o755}}
	return Facts{
		User: "ada", Now: time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC), Zone: time.UTC,
		Account:  &Account{Account: host.Account{Account: homes.Account{Name: "ada", UID: 2001, GID: 2001, Home: "/home/ada"}, Shell: "/bin/bash"}, Own: map[int]bool{2001: true}},
		Registry: Registry{Listed: true, UID: 2001, Home: "/home/ada", Mode: "report", Keys: []Registered{{Key: mine, Label: "ada@desk", Verdict: granted}}},
		Judge: func(line authkeys.Line) policy.Verdict {
			if line.Key == mine {
				return granted
			}
			return policy.Verdict{Reason: policy.ReasonUnregistered, Detail: "the key registry does not list this key for the user"}
		},
		Servers: []Server{{
			Config:   "/etc/ssh/sshd_config",
			Settings: host.Settings{"port": {"22"}, "usepam": {"no"}, "maxauthtries": {"6"}, "pubkeyacceptedalgorithms": {"ssh-ed25519,rsa-sha2-512"}},
			Files: []File{
				{Name: ".ssh/authorized_keys", Sight: homes.Sight{State: homes.Regular, Path: levels[0].Path, Levels: levels, Data: []byte(second + " planted \x1b[2J\n" + first + " mine\n")}},
				{Name: ".ssh/authorized_keys2", Sight: homes.Sight{State: homes.Missing, Detail: "no such file or directory"}},
			},
		}},
		Removed: []Removed{{Time: time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC), File: "/home/ada/.ssh/authorized_keys", Line: 3, Fingerprint: keyOf(t, second).Fingerprint(), Reason: "unregistered", Copy: "01ABC"}},
	}
}

// text is the answer for a person. No line of it is wider than a terminal.
func text(t *testing.T, a Answer) string {
	t.Helper()
	var out bytes.Buffer
	w := bufio.NewWriter(&out)
	a.Text(w)
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		if words := strings.Fields(line); len(strings.TrimSuffix(line, "\n")) > width && len(words) > 0 && len(slices.MaxFunc(words, func(a, b string) int { return len(a) - len(b) })) < 50 {
			t.Errorf("wider than %d: %s", width, line)
		}
		if strings.Trim(line, " \n") != "" && strings.ContainsFunc(strings.TrimSuffix(line, "\n"), func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("not for a terminal: %q", line)
		}
	}
	return out.String()
}

// The answers as they are printed; UPDATE_GOLDEN=1 writes the files anew.
func TestGolden(t *testing.T) {
	shut := ada(t)
	shut.Servers[0].Files[0].Levels[2].Mode = 0o775
	strong := ada(t)
	strong.Registry.Away = policy.Verdict{Reason: policy.ReasonAccountLocked, Detail: "the account is locked"}
	strong.Judge = func(authkeys.Line) policy.Verdict { return strong.Registry.Away }
	strong.Registry.Keys[0].Verdict = strong.Registry.Away
	strong.Servers[0].Files = nil
	strong.Servers[0].Command = &Command{Words: []string{"/usr/libexec/keyreeve-keys", "--", "%u", "%U", "%h", "%f"}, User: "_keyreeve", Answers: map[string]Said{strong.Registry.Keys[0].Key.Fingerprint(): {}}}
	one := ada(t)
	one.Key = keyOf(t, second)
	one.Wanted = one.Key.Fingerprint()
	one.From = netip.MustParseAddr("192.0.2.7")
	for name, f := range map[string]Facts{"logs-in": ada(t), "home": shut, "locked": strong, "one-key": one} {
		a := Judge(f)
		encoded, err := json.MarshalIndent(a, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		for file, got := range map[string]string{name + ".txt": text(t, a), name + ".json": string(encoded) + "\n"} {
			path := filepath.Join("testdata", file)
			if os.Getenv("UPDATE_GOLDEN") != "" {
				if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s:\n%s", file, diff)
			}
		}
	}
}

// Each thing that sshd asks for stops a login by a code of its own, or does not; each row changes one thing of a login that goes well.
func TestJudge(t *testing.T) {
	s := func(f *Facts) *Server { return &f.Servers[0] }
	level := func(at int, change func(*homes.Level)) func(*Facts) {
		return func(f *Facts) { change(&s(f).Files[0].Levels[at]) }
	}
	set := func(keyword string, words ...string) func(*Facts) {
		return func(f *Facts) { s(f).Settings[keyword] = words }
	}
	line := func(text string) func(*Facts) {
		return func(f *Facts) { s(f).Files[0].Data = []byte(text) }
	}
	both := func(list ...func(*Facts)) func(*Facts) {
		return func(f *Facts) {
			for _, change := range list {
				change(f)
			}
		}
	}
	from := func(address string) func(*Facts) {
		return func(f *Facts) { f.From = netip.MustParseAddr(address) }
	}
	command := func(said Said, fault string) func(*Facts) {
		return func(f *Facts) {
			s(f).Files = nil
			s(f).Command = &Command{Words: []string{"/c"}, Fault: fault, Answers: map[string]Said{"": said}}
		}
	}
	gate := func(change func(*Server)) func(*Facts) {
		return func(f *Facts) {
			s(f).Gate = doctor.Gate{Where: "/etc/pam.d/sshd:9", File: "/keys.cdb"}
			change(s(f))
		}
	}
	nobody := func(*Server) {}
	for name, c := range map[string]struct {
		change func(*Facts)
		code   string // empty: she logs in
	}{
		"nothing":                  {func(*Facts) {}, ""},
		"no account":               {func(f *Facts) { f.Account = nil }, "no-account"},
		"at its end":               {func(f *Facts) { f.Account.Expired = true }, "account-ended-here"},
		"locked":                   {func(f *Facts) { f.Account.Locked = true }, "account-locked-here"},
		"locked, with PAM":         {both(func(f *Facts) { f.Account.Locked = true }, set("usepam", "yes")), ""},
		"no shell":                 {func(f *Facts) { f.Account.ShellFault = "none" }, "shell"},
		"no shell in a chroot":     {both(func(f *Facts) { f.Account.ShellFault = "none" }, set("chrootdirectory", "/jail")), ""},
		"denied":                   {set("denyusers", "bob", "a*"), "deny-users"},
		"others are denied":        {set("denyusers", "bob"), ""},
		"denied from elsewhere":    {both(set("denyusers", "ada@192.0.2.*"), from("198.51.100.1")), ""},
		"denied from there":        {both(set("denyusers", "ada@192.0.2.*"), from("192.0.2.1")), "deny-users"},
		"others are allowed":       {set("allowusers", "bob", "AD*"), "allow-users"},
		"allowed":                  {set("allowusers", "bob", "ad?"), ""},
		"a group is denied":        {both(set("denygroups", "guests"), func(f *Facts) { f.Account.Groups = []string{"guests"} }), "deny-groups"},
		"her group is not allowed": {both(set("allowgroups", "staff"), func(f *Facts) { f.Account.Groups = []string{"guests"} }), "allow-groups"},
		"root does not log in":     {both(set("permitrootlogin", "no"), func(f *Facts) { f.Account.UID = 0 }), "root-login"},
		"no keys at all":           {set("pubkeyauthentication", "no"), "pubkey-off"},
		"another method":           {set("authenticationmethods", "password", "keyboard-interactive"), "methods"},
		"a key and a password":     {set("authenticationmethods", "publickey,password"), ""},
		"another type":             {set("pubkeyacceptedalgorithms", "rsa-sha2-512"), "algorithm"},
		"no list":                  {func(f *Facts) { s(f).Revoked = []Revoked{{Path: "/r", Fault: "not there"}} }, "revoked-list"},
		"on a list": {func(f *Facts) {
			s(f).Revoked = []Revoked{{Path: "/r", Keys: map[string]bool{f.Registry.Keys[0].Key.Fingerprint(): true}}}
		}, "revoked"},
		"root's home":                     {level(2, func(l *homes.Level) { l.UID = 0 }), ""},
		"another's home":                  {level(2, func(l *homes.Level) { l.UID = 7 }), "strict-modes"},
		"another's file":                  {level(0, func(l *homes.Level) { l.UID = 7 }), "strict-modes"},
		"everybody writes to .ssh":        {level(1, func(l *homes.Level) { l.Mode = 0o703 }), "strict-modes"},
		"her group writes to it":          {level(1, func(l *homes.Level) { l.Mode = 0o770 }), "strict-modes"},
		"her group does, on Debian":       {both(level(1, func(l *homes.Level) { l.Mode = 0o770 }), func(f *Facts) { s(f).TrustsOwnGroups = true }), ""},
		"a group of others, on Debian":    {both(level(1, func(l *homes.Level) { l.Mode, l.GID = 0o770, 100 }), func(f *Facts) { s(f).TrustsOwnGroups = true }), "strict-modes"},
		"everybody, on Debian":            {both(level(1, func(l *homes.Level) { l.Mode = 0o772 }), func(f *Facts) { s(f).TrustsOwnGroups = true }), "strict-modes"},
		"modes do not count":              {both(level(1, func(l *homes.Level) { l.Mode = 0o777 }), set("strictmodes", "no")), ""},
		"no home":                         {func(f *Facts) { s(f).Files[0].Sight = homes.Sight{State: homes.Missing, NoHome: true} }, "no-home"},
		"no file":                         {func(f *Facts) { s(f).Files[0].Sight = homes.Sight{State: homes.Missing} }, "no-line"},
		"unreadable":                      {func(f *Facts) { s(f).Files[0].Sight = homes.Sight{State: homes.Unreadable} }, "file-unreadable"},
		"not in the file":                 {line(second + "\n"), "no-line"},
		"in the second file":              {func(f *Facts) { s(f).Files[1].Sight, s(f).Files[0].Sight = s(f).Files[0].Sight, s(f).Files[1].Sight }, ""},
		"from elsewhere":                  {both(line(`from="192.0.2.0/24" `+first+"\n"), from("198.51.100.1")), "from"},
		"from there":                      {both(line(`from="192.0.2.0/24" `+first+"\n"), from("192.0.2.1")), ""},
		"from who knows where":            {line(`from="192.0.2.0/24" ` + first + "\n"), ""},
		"a second line is for others":     {both(line(`from="192.0.2.0/24" `+first+"\n"+first+"\n"), from("198.51.100.1")), ""},
		"over":                            {line(`expiry-time="20261126115959Z" ` + first + "\n"), "line-expired"},
		"not over":                        {line(`expiry-time="20261126120000Z" ` + first + "\n"), ""},
		"an authority":                    {line("cert-authority " + first + "\n"), "cert-authority"},
		"options that sshd does not know": {line("no-such-option " + first + "\n"), "malformed-options"},
		"the command gives it":            {command(Said{Text: []byte(first + "\n")}, ""), ""},
		"the command does not":            {command(Said{}, ""), "no-line"},
		"the command fails":               {command(Said{Text: []byte(first + "\n"), Err: errors.New("status 1")}, ""), "command-failed"},
		"the command is not run":          {command(Said{}, "it is anybody's"), "command-fault"},
		"the gate has it":                 {gate(func(s *Server) { s.Granted = map[string]bool{keyOf(t, first).Fingerprint(): true} }), ""},
		"the gate has nobody":             {gate(nobody), "gate"},
		"the gate is passed":              {gate(func(s *Server) { s.Gate.Passed = true }), ""},
		"the gate fails":                  {gate(func(s *Server) { s.GateErr = errors.New("no file") }), "gate-broken"},
		"nologin":                         {func(f *Facts) { f.NoLogin, s(f).NoLogin = "/etc/nologin", true }, "nologin"},
		"nologin, which nobody asks for":  {func(f *Facts) { f.NoLogin = "/run/nologin" }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := ada(t)
			f.Key = keyOf(t, first)
			f.Wanted = f.Key.Fingerprint()
			c.change(&f)
			a := Judge(f)
			code := ""
			if a.Stop != nil {
				code = a.Stop.Code
			}
			if a.LogsIn != (c.code == "") || code != c.code || !a.Known || strings.Count(text(t, a), "-->") == 0 != a.LogsIn {
				t.Errorf("logs in %v, known %v, stopped by %q, want %q\n%s", a.LogsIn, a.Known, code, c.code, text(t, a))
			}
		})
	}
}

// What could not be looked at is no answer: neither that a key logs in, nor that it does not.
func TestJudgeWhatIsNotKnown(t *testing.T) {
	for name, change := range map[string]func(*Facts){
		"no sshd":                func(f *Facts) { f.Servers = nil },
		"a silent one":           func(f *Facts) { f.Servers[0].Err, f.Servers[0].Settings = errors.New("silent"), nil },
		"a file that hangs":      func(f *Facts) { f.Servers[0].Files[0] = File{Name: ".ssh/authorized_keys", Err: homes.ErrSilent} },
		"behind a stranger's":    func(f *Facts) { f.Servers[0].Files[0].Sight = homes.Sight{State: homes.Unreadable, Blind: true} },
		"a file for all":         func(f *Facts) { f.Servers[0].Files[0].Data = nil; f.Servers[0].Unkept = []homes.Unkept{{Path: "x"}} },
		"the name service fails": func(f *Facts) { f.Servers[0].Files[0].Data = nil; f.Unknown = []string{"the account: no answer"} },
		"more than is read": func(f *Facts) {
			f.Servers[0].Files[0].Data, f.Servers[0].Files[0].State = []byte("#\n"), homes.Oversize
		},
	} {
		f := ada(t)
		change(&f)
		if a := Judge(f); a.Known {
			t.Errorf("%s: it is known\n%s", name, text(t, a))
		}
	}
	for config, want := range map[string]string{"/etc/ssh/sshd_config": "sshd -t -f /etc/ssh/sshd_config", "as far as its users see": "", "": ""} {
		f := ada(t)
		f.Servers[0].Config, f.Servers[0].Err = config, errors.New("silent")
		steps := Judge(f).Servers[0].Steps
		if i := slices.IndexFunc(steps, func(s Step) bool { return s.Code == "sshd-silent" }); i < 0 || steps[i].Do != want {
			t.Errorf("%q is silent: %+v", config, steps)
		}
	}
	// One file that cannot be looked at does not matter where another one lets her in, nor where nothing would.
	f := ada(t)
	f.Servers[0].Files[1] = File{Name: ".ssh/authorized_keys2", Err: homes.ErrSilent}
	if a := Judge(f); !a.Known || !a.LogsIn {
		t.Error(text(t, a))
	}
	f.Account, f.Servers[0].Err = nil, errors.New("silent")
	if a := Judge(f); !a.Known || a.LogsIn {
		t.Error(text(t, a))
	}
}

// A line that depends on nothing is the way in, before one that does.
func TestWay(t *testing.T) {
	f := ada(t)
	f.Servers[0].Files[0].Data = []byte(`from="192.0.2.0/24" ` + first + "\n" + first + "\n")
	if k := Judge(f).Servers[0].Keys[0]; k.Way == nil || k.Way.Line != 2 || k.Way.Why != "" {
		t.Errorf("%+v", k.Way)
	}
	f.Servers[0].Files[0].Data = []byte(`from="192.0.2.0/24" ` + first + "\n")
	if k := Judge(f).Servers[0].Keys[0]; !k.LogsIn || k.Way.Why != "from 192.0.2.0/24 alone" {
		t.Errorf("%+v", k)
	}
}

// Whatever a user writes above the line by which he logs in, and however much of it, it is found: lines that are shown are bounded, lines that are judged are not.
func TestLineBehindManyOthers(t *testing.T) {
	for name, above := range map[string]string{
		"malformed":         "x\n",
		"of another key":    second + "\n",
		"of the key, ended": `expiry-time="20200101" ` + first + "\n",
		"for an authority":  "cert-authority " + first + "\n",
	} {
		f := ada(t)
		f.Servers[0].Files[0].Data = []byte(strings.Repeat(above, 2*maxLines) + first + "\n")
		a := Judge(f)
		if s := a.Servers[0]; !s.Keys[0].LogsIn || s.Keys[0].Way.Line != 2*maxLines+1 || !a.LogsIn || !a.Known || len(s.Lines) != maxLines {
			t.Errorf("%s: %v, known %v, %d lines, the key %+v", name, a.LogsIn, a.Known, len(s.Lines), s.Keys[0])
		}
	}
}

// What is said to do makes nobody the owner of what was another's, and gives root no path to act upon that the user can turn or has chosen; what he
// is to do himself is one word of a shell, whatever his names are.
func TestAdviceIsSafe(t *testing.T) {
	barrier := func(path string, uid int) func(*homes.Sight) {
		return func(s *homes.Sight) {
			*s = homes.Sight{State: homes.Unreadable, Detail: "permission denied", Barrier: homes.Level{Path: path, UID: uid, Mode: 0o700}}
		}
	}
	level := func(path string, uid int, mode uint32) func(*homes.Sight) {
		return func(s *homes.Sight) { s.Levels = []homes.Level{{Path: path, UID: uid, GID: 7, Mode: mode}} }
	}
	for name, c := range map[string]struct {
		sight func(*homes.Sight)
		want  string
	}{
		"a link to root's file":                   {barrier("/etc/shadow", 0), "let it be a plain file of his, in a directory of his"},
		"a link to another's home":                {barrier("/home/ada/.ssh", 2002), "let it be a plain file of his, in a directory of his"},
		"what is below a link, another's":         {level("/home/bob/.ssh", 2002, 0o755), "let it be a plain file of his, in a directory of his"},
		"a link into /tmp":                        {level("/tmp", 0, 0o1777), "let it be a plain file of his, in a directory of his"},
		"her own, below a name that is a command": {barrier("/home/ada/a;reboot;'", 2001), `as ada: chmod u+rX '/home/ada/a;reboot;'\'''`},
		"her own, for others to write":            {level("/home/ada/$(id)", 2001, 0o777), "as ada: chmod go-w '/home/ada/$(id)'"},
		"her home":                                {level("/home/ada", 2001, 0o777), "chmod go-w /home/ada"},
		"her home is root's":                      {barrier("/home/ada", 0), "if it is his home, and no other's: chown ada /home/ada"},
		"above her home":                          {level("/home", 0, 0o777), "chmod go-w /home"},
		"above her home, shut":                    {barrier("/home", 0), "chmod a+x /home"},
	} {
		f := ada(t)
		c.sight(&f.Servers[0].Files[0].Sight)
		a := Judge(f)
		if at := slices.IndexFunc(a.Servers[0].Steps, func(s Step) bool { return s.State == Skips }); at < 0 || a.Servers[0].Steps[at].Do != c.want {
			t.Errorf("%s: %+v, want %q", name, a.Servers[0].Steps, c.want)
		}
	}
}
