package enforcer_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/homes"
)

// A user who has more registered than a file may hold must not have a file that is left as it is for that.
func TestMoreGrantsThanFit(t *testing.T) {
	var lines []string
	for i := range 70 {
		lines = append(lines, fmt.Sprintf(`from="10.0.0.%d,%s10.1.1.1" %s`, i, strings.Repeat("192.168.100.100,", 245), lineA))
	}
	granted := grants(t, lines...)
	for title, text := range map[string]string{
		"a line of the key":  lineA + "\n" + lineB + " unregistered\ncert-authority " + lineD + "\n",
		"all lines at once":  strings.Join(lines, "\n") + "\n" + lineB + " unregistered\n",
		"too many lines":     strings.Repeat("#\n", 5000) + lineB + "\n",
		"nothing registered": lineB + " unregistered\n",
	} {
		t.Run(title, func(t *testing.T) {
			in := enforcer.Input{Account: alice, Name: ".ssh/authorized_keys", File: regular(text), Grants: granted, Install: true}
			if len(text) > homes.MaxSize {
				in.File.State, in.File.Data = homes.Oversize, in.File.Data[:homes.MaxSize]
			}
			plan := enforcer.MakePlan(in)
			if !plan.Change || len(plan.After) > homes.MaxSize || strings.Contains(string(plan.After), strings.Fields(lineB)[1]) {
				t.Fatalf("change %v, %d bytes, unresolved %q", plan.Change, len(plan.After), plan.Unresolved)
			}
			for _, line := range authkeys.Parse(plan.After) {
				if !granted.Judge(alice.Name, line).Stays() {
					t.Errorf("line %d is not granted", line.N)
				}
			}
			in.File = regular(string(plan.After))
			if again := enforcer.MakePlan(in); again.Change || again.Pressing() || !strings.HasPrefix(again.Unresolved, "of the user's 70 granted keys only ") {
				t.Errorf("the next plan: change %v, unresolved %q, pressing %v, %s", again.Change, again.Unresolved, again.Pressing(), cmp.Diff(plan.After, again.After))
			}
		})
	}
}
