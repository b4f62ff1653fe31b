package enforcer_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/homes"
)

const noteMark = "# keyreeve: "

// noteDay is the day of the notes in these tests.
var noteDay = time.Date(2026, 11, 27, 0, 30, 0, 0, time.FixedZone("", 3600))

func noteRules() enforcer.NoteRules {
	return enforcer.NoteRules{Write: true, Text: []string{"Schlüssel: https://keys.example.org/"}, Keep: 30 * 24 * time.Hour}
}

// noted is a look at a file of alice, of whom A is registered, with notes.
func noted(tb testing.TB, text string) enforcer.Input {
	tb.Helper()
	in := enforcer.Input{Account: alice, Name: ".ssh/authorized_keys", File: regular(text), Grants: grants(tb, lineA), Note: noteRules().At(noteDay)}
	in.File.Room = 4096
	return in
}

// oldNote is a note of another day.
func oldNote(day string) string {
	return noteMark + "removed on " + day + " (UTC):\n" + noteMark + "- unregistered: something\n"
}

const freshNote = `# keyreeve: removed on 2026-11-26 (UTC):
# keyreeve: - unregistered: the key registry does not list this key for the
# keyreeve:   user
# keyreeve:   SHA256:8O248R5MYQAJpvyalKqVsiVm3TSeFzqEb7VKVZ1CYVA
# keyreeve:   ssh-ed25519 \\x1b is no escape; \\u202e nor is this. xxxxxx...
# keyreeve: - no-key: no plain key line
# keyreeve: Schlüssel: https://keys.example.org/
# keyreeve: You may delete these lines. They go by themselves in time.
`

func TestNote(t *testing.T) {
	hostile := lineB + ` \x1b is no escape; \u202e nor is this. ` + strings.Repeat("x", 900) + "\nsecret passphrase\n"
	p := enforcer.MakePlan(noted(t, "# mine\n"+lineA+" me\n"+hostile))
	head, rest, _ := strings.Cut(string(p.After), "# mine\n")
	if rest != lineA+" me\n" || !p.Noted || !strings.Contains(p.Summary(), "its user is told at the top") {
		t.Errorf("%q, %s", rest, p.Summary())
	}
	if diff := cmp.Diff(freshNote, head); diff != "" {
		t.Error(diff)
	}
}

// The note goes when it is old, or when what it tells of came back; is made anew when something goes again; and is left alone otherwise, whatever its
// user made of it.
func TestNoteComesAndGoes(t *testing.T) {
	clean, unknown := lineA+"\n", lineB+"\n"
	half := strings.SplitAfter(oldNote("2026-11-20"), "\n")
	for name, c := range map[string]struct {
		text       string
		note, rest string // what is on top, how it begins; what follows it
	}{
		"nothing to tell":                        {clean, "", clean},
		"an old note is made anew":               {oldNote("2026-11-20") + unknown + clean, "# keyreeve: removed on 2026-11-26", clean},
		"so is one that was torn apart":          {half[1] + unknown + clean + half[0] + "# mine\n" + half[0], "# keyreeve: removed on 2026-11-26", clean + "# mine\n"},
		"and one whose lines have a CR":          {strings.ReplaceAll(oldNote("2026-11-20"), "\n", "\r\n") + unknown, "# keyreeve: removed on 2026-11-26", ""},
		"one that is 30 days old stays":          {oldNote("2026-10-27") + clean, "", oldNote("2026-10-27") + clean},
		"one that is older goes":                 {"# mine\n" + oldNote("2026-10-26") + clean, "", "# mine\n" + clean},
		"not beside a newer one":                 {oldNote("2026-10-26") + clean + oldNote("2026-11-26"), "", oldNote("2026-10-26") + clean + oldNote("2026-11-26")},
		"nor before one":                         {oldNote("2026-11-26") + clean + oldNote("2026-10-26"), "", oldNote("2026-11-26") + clean + oldNote("2026-10-26")},
		"one of the future is a comment":         {oldNote("2099-01-01") + clean, "", oldNote("2099-01-01") + clean},
		"so is one without a day":                {half[1] + clean, "", half[1] + clean},
		"and a day that is none":                 {oldNote("2026-02-31") + clean, "", oldNote("2026-02-31") + clean},
		"a line that is there twice is no loss":  {clean + clean, "", clean},
		"nor is a comment":                       {"# \x1b[2J\n" + clean, "", clean},
		"what only looks like a note is another": {" " + oldNote("2026-01-01")[:30] + "\n#keyreeve: x\n" + clean + unknown, "# keyreeve: removed on", " " + oldNote("2026-01-01")[:30] + "\n#keyreeve: x\n" + clean},
	} {
		in := noted(t, c.text)
		p := enforcer.MakePlan(in)
		note, rest := "", string(p.After)
		if p.Noted {
			end := strings.LastIndex(rest, "in time.\n") + len("in time.\n")
			note, rest = rest[:end], rest[end:]
		}
		if !strings.HasPrefix(note, c.note) || (note == "") != (c.note == "") || rest != c.rest {
			t.Errorf("%s: %q, then %q", name, note, rest)
		}
		for _, d := range slices.Concat(p.Keep, p.Rewrite, p.Remove) {
			if dropped := strings.HasPrefix(d.Line.Raw, noteMark) && rest != c.text; dropped != (d.Reason == enforcer.ReasonNote) {
				t.Errorf("%s: %q: %s", name, d.Line.Raw, d.Reason)
			}
		}
		checkLaws(t, in)
	}
}

// Where a note has no place nothing else of the plan is another.
func TestNoteHasNoPlace(t *testing.T) {
	text := lineA + "\n" + lineB + "\n"
	for name, change := range map[string]func(*enforcer.Input){
		"nobody wants it":       func(in *enforcer.Input) { in.Note.Write = false },
		"there are none":        func(in *enforcer.Input) { in.Note = enforcer.NoteRules{}.At(noteDay) },
		"a file outside":        func(in *enforcer.Input) { in.Name = "/etc/ssh/keys/alice" },
		"no room for it":        func(in *enforcer.Input) { in.File.Room = 300 },
		"room is not known":     func(in *enforcer.Input) { in.File.Room = 0 },
		"as long as any may be": func(in *enforcer.Input) { longest(in, homes.MaxSize) },
		"as many lines as any":  func(in *enforcer.Input) { lines(in, 4096) },
	} {
		in := noted(t, text)
		change(&in)
		p := enforcer.MakePlan(in)
		in.Note = enforcer.Note{}
		if without := enforcer.MakePlan(in); p.Noted || !p.Change || p.Whole.Reason != "" || !bytes.Equal(p.After, without.After) {
			t.Errorf("%s: %.300q, %+v", name, p.After, p.Whole)
		}
	}
	in := noted(t, oldNote("2026-01-01")+lineA+"\n")
	in.File.Barred = homes.Immutable
	if p := enforcer.MakePlan(in); p.Change || p.Unresolved != "" {
		t.Errorf("an old note in an immutable file is trouble: %s", p.Summary())
	}
}

// longest makes the file one of so many bytes, lines one of so many lines; a little goes from either.
func longest(in *enforcer.Input, size int) {
	text := lineB + "\n" + lineA + "\n"
	for len(text) < size {
		text += "#" + strings.Repeat(".", min(4000, max(size-len(text)-2, 0))) + "\n"
	}
	in.File.Data, in.File.Room = []byte(text[:size-1]+"\n"), 1<<20
}

func lines(in *enforcer.Input, n int) {
	in.File.Data, in.File.Room = []byte(lineB+"\n"+strings.Repeat("#\n", n-1)), 1<<20
}

// A file that is replaced whole says so; the reason is all that is told of what was in its place.
func TestNoteOfAWholeFile(t *testing.T) {
	in := noted(t, oldNote("2026-11-20")+lineB+"\n")
	in.File = homes.File{State: homes.Symlink, Detail: "to /somewhere/else", Data: in.File.Data}
	p := enforcer.MakePlan(in)
	want := noteMark + "removed on 2026-11-26 (UTC):\n" + noteMark + "- symlink: the whole file was replaced\n" + noteMark + "- unregistered:"
	if !strings.HasPrefix(string(p.After), want) || !strings.HasSuffix(string(p.After), "\n"+lineA+"\n") || strings.Contains(string(p.After), "somewhere") {
		t.Errorf("%s", p.After)
	}
	in.File = regular(string(p.After))
	if p := enforcer.MakePlan(in); p.Change {
		t.Errorf("the plan of the planned file: %s", p.Summary())
	}
}

// A key that comes back takes the note along that told of it.
func TestNoteWhenAKeyComesBack(t *testing.T) {
	in := noted(t, oldNote("2026-11-26"))
	in.Bring = authkeys.Parse([]byte(lineA))
	if p := enforcer.MakePlan(in); string(p.After) != lineA+"\n" || len(p.Back) != 1 {
		t.Errorf("%q", p.After)
	}
}

// Whatever users do to notes, the laws hold, there is one at most when one was made, and it is bounded. Of two nodes that look at one file, on days that
// differ, the second finds nothing to do.
func TestNoteLaws(t *testing.T) {
	torn := append(pieces(), noteMark, noteMark+"x", noteMark+"\x00", noteMark+"\x1b", noteMark+lineA, noteMark+"\r", "#  keyreeve: "+lineB)
	for _, day := range []string{"2026-10-26", "2026-10-27", "2026-11-25", "2026-11-26", "2026-11-27", "2099-99-99"} {
		torn = append(torn, strings.Split(oldNote(day), "\n")[0], noteMark+"removed on "+day)
	}
	rapid.Check(t, func(rt *rapid.T) {
		list := rapid.SliceOfN(rapid.SampledFrom(torn), 0, 14).Draw(rt, "lines")
		in := noted(t, strings.Join(list, "\n")+rapid.SampledFrom([]string{"", "\n"}).Draw(rt, "end"))
		in.Install, in.File.Tidy = rapid.Bool().Draw(rt, "install"), rapid.Bool().Draw(rt, "tidy")
		in.Note.Write = rapid.Bool().Draw(rt, "write")
		in.Note.Text = rapid.SliceOfN(rapid.SampledFrom([]string{"x", strings.Repeat("ä", 64)}), 0, 6).Draw(rt, "text")
		checkLaws(rt, in)
		p := enforcer.MakePlan(in)
		checkNote(rt, p)
		later := in
		later.File, later.Note = regular(string(p.After)), noteRules().At(noteDay.AddDate(0, 0, rapid.IntRange(-1, 1).Draw(rt, "days")))
		if again := enforcer.MakePlan(later); p.Noted && again.Change {
			rt.Fatalf("another node makes %q of %q", again.After, p.After)
		}
	})
}

// checkNote holds a planned file to the bounds of a note.
func checkNote(t *rapid.T, p enforcer.Plan) {
	t.Helper()
	n, top := 0, true
	for line := range strings.Lines(string(p.After)) {
		own := strings.HasPrefix(line, noteMark)
		if top = top && own; own {
			n++
		}
		if p.Noted && own && (!top || utf8.RuneCountInString(line) > 77) {
			t.Fatalf("%q of the note: at the top: %v", line, top)
		}
	}
	if p.Noted && n > 21 {
		t.Fatalf("the note has %d lines", n)
	}
	if fmt.Sprint(len(p.Gone()) > 0, p.Noted) == "false true" {
		t.Fatal("a note of nothing")
	}
}
