package report

import (
	"fmt"
	"io"
	"strings"
	"testing"
)

// A report without end, or one with a field or an account without end, is given up.
func TestFleetIsBounded(t *testing.T) {
	const whole, value = 1 << 20, 1 << 16
	accounts := `{"version": 1, "host": "x", "accounts": [`
	for name, c := range map[string]struct {
		head, pad string
		most      int64
	}{
		"a field":          {`{"version": 1, "pad": "`, "x", 2 * value},
		"a name":           {`{"version": 1, "`, "x", 2 * value},
		"an account":       {accounts + `{"user": "`, "x", 2 * value},
		"accounts":         {accounts, `{"user": "x"},`, whole},
		"blanks":           {accounts, " ", 2 * value},
		"blanks before it": {"", " ", 2 * value},
		"fields":           {`{"version": 1, "a": 1, "a`, `": 1, "a`, 2 * value},
	} {
		f := NewFleet()
		f.maxReport, f.maxValue = whole, value
		pad := &endless{text: c.pad}
		if err := f.Add(io.MultiReader(strings.NewReader(c.head), pad)); err == nil {
			t.Errorf("%s: no error", name)
		}
		if pad.read > c.most {
			t.Errorf("%s: %d bytes were read", name, pad.read)
		}
	}
}

// The bound of one account is not that of all of them.
func TestFleetTakesManyAccounts(t *testing.T) {
	f := NewFleet()
	f.maxValue = 4 << 10
	text := `{"version": 1, "host": "x", "summary": {}, "digest": {}, "accounts": [` + strings.Repeat(`{"user": "somebody"},`, 1000) + `{}]}`
	if err := f.Add(strings.NewReader(text)); err != nil {
		t.Error(err)
	}
}

// endless gives a text over and over.
type endless struct {
	text string
	read int64
}

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = e.text[(e.read+int64(i))%int64(len(e.text))]
	}
	e.read += int64(len(p))
	return len(p), nil
}

// What takes two bytes in a report takes some hundred in memory.
func TestFleetBoundsElements(t *testing.T) {
	start := `{"version": 1, "host": "x", "summary": {}, `
	for name, c := range map[string]struct{ head, pad string }{
		"lines":       {start + `"digest": {}, "accounts": [{"user": "u", "files": [{"lines": [`, `0,`},
		"empty lines": {start + `"digest": {}, "accounts": [{"user": "u", "files": [{"lines": [`, `{},`},
		"files":       {start + `"digest": {}, "accounts": [{"user": "u", "files": [`, `{},`},
		"lockouts":    {start + `"digest": {"lockouts": [`, `{},`},
		"findings":    {start + `"digest": {"undecided": [`, `{},`},
	} {
		pad := &endless{text: c.pad}
		err := NewFleet().Add(io.MultiReader(strings.NewReader(c.head), pad))
		if err == nil || !strings.Contains(err.Error(), "larger than a report can be") || pad.read > 8*maxParts {
			t.Errorf("%s: %v, after %d bytes", name, err, pad.read)
		}
	}
	var names strings.Builder
	for i := range 2 * maxFields {
		fmt.Fprintf(&names, `"f%d": 0, `, i)
	}
	if err := NewFleet().Add(strings.NewReader(start + names.String() + `"digest": {}, "accounts": []}`)); err == nil || !strings.Contains(err.Error(), "fields") {
		t.Errorf("fields: %v", err)
	}
}

// An error repeats no more than a line of what a report says.
func TestFleetErrorsAreShort(t *testing.T) {
	long := strings.Repeat("1", 1<<20)
	for name, text := range map[string]string{
		"version": `{"version": ` + long + `}`,
		"time":    `{"version": 1, "made": "` + long + `"}`,
		"number":  `{"version": 1, "summary": {"errors": ` + long + `}}`,
		"a name":  `{"version": 1, "` + long + `": 0, "` + long + `": 0}`,
	} {
		if err := NewFleet().Add(strings.NewReader(text)); err == nil || len(err.Error()) > 2*maxWord {
			t.Errorf("%s: %.200v", name, err)
		}
	}
}
