package report_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/keyreeve/keyreeve/report"
)

// gate is a writer that takes some bytes, and notes the most of one call.
type gate struct {
	left, most, all int
}

var errShut = errors.New("nobody reads")

func (g *gate) Write(p []byte) (int, error) {
	g.most, g.all = max(g.most, len(p)), g.all+len(p)
	if g.left -= len(p); g.left < 0 {
		return 0, errShut
	}
	return len(p), nil
}

// A report of many accounts is written as they come, and not first made a text of a gigabyte; whoever reads no more ends it.
func TestJSONIsStreamed(t *testing.T) {
	const accounts = 2000
	r := city(t, accounts, false)
	f := report.NewFleet()
	for i := range 20 {
		one := r
		one.Host, one.Results = fmt.Sprint("host", i), r.Results[100*i:100*i+100]
		if err := f.Add(bytes.NewReader([]byte(object(t, one)))); err != nil {
			t.Fatal(err)
		}
	}
	for name, write := range map[string]func(io.Writer) error{
		"report": func(w io.Writer) error { return report.JSON(w, r) }, "fleet": func(w io.Writer) error { return report.FleetJSON(w, f) },
	} {
		whole := gate{left: 1 << 30}
		if err := write(&whole); err != nil || whole.most > whole.all/20 {
			t.Errorf("%s: %v, %d of %d bytes at once", name, err, whole.most, whole.all)
		}
		cut := gate{left: whole.all / 2}
		if err := write(&cut); !errors.Is(err, errShut) || cut.all > whole.all/2+whole.most {
			t.Errorf("%s: %v after %d of %d bytes", name, err, cut.all, whole.all)
		}
	}
}

// The text is the one that encoding/json makes of the whole, however many items there are.
func TestJSONLayout(t *testing.T) {
	one := village(t)
	one.Results = one.Results[:1]
	for name, text := range map[string]string{"none": object(t, report.Report{}), "one": object(t, one), "many": object(t, village(t)), "example": object(t, example(t))} {
		var compact, again bytes.Buffer
		if err := errors.Join(json.Compact(&compact, []byte(text)), json.Indent(&again, compact.Bytes(), "", "  ")); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, text)
		}
		if again.String()+"\n" != text {
			t.Errorf("%s: it is not laid out as json.MarshalIndent does:\n%s", name, text)
		}
	}
}
