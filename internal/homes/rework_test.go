package homes

import (
	"bytes"
	"strings"
	"testing"
)

// Whoever reads while a file is changed in its place has the old content up to somewhere and the new one from there on, or the other way: each line of
// that is one of either, cut short at most, or a comment.
func TestBlankGrantsNoMore(t *testing.T) {
	lines := []string{
		"ssh-ed25519 AAAA1 one", "# ssh-ed25519 AAAAhidden", "from=\"10.0.0.0/8\",command=\"a b\" ssh-ed25519 AAAA2", "", "restrict ssh-ed25519 AAAA3",
		"ssh-ed25519 AAAA1 one", "command=\"ssh-ed25519 AAAAquoted\" ssh-ed25519 AAAA4",
	}
	pick := func(mask int) []byte {
		var text []byte
		for i, line := range lines {
			if mask&(1<<i) != 0 {
				text = append(append(text, line...), '\n')
			}
		}
		return text
	}
	known := func(line, old, fresh []byte) bool {
		line = bytes.TrimRight(line, "#\n")
		for content := range bytes.Lines(append(bytes.Clone(old), fresh...)) {
			if bytes.HasPrefix(content, line) {
				return true
			}
		}
		return bytes.HasPrefix(line, []byte("#"))
	}
	for before := range 1 << len(lines) {
		for _, after := range []int{0, 0b1, 0b1100, 0b1010101, 0b1111111, before / 2} {
			old, want := pick(before), pick(after)
			blanked, rest := blank(old, want)
			fresh := finish(bytes.Clone(blanked), old, rest)
			for _, change := range [][2][]byte{{old, blanked}, {blanked, fresh}, {old, fresh}} {
				for at := range max(len(change[0]), len(change[1])) + 1 {
					for _, sides := range [][2][]byte{{change[0], change[1]}, {change[1], change[0]}} {
						seen := bytes.Clone(sides[0][:min(at, len(sides[0]))])
						if at <= len(sides[0]) && at < len(sides[1]) {
							seen = append(seen, sides[1][at:]...)
						}
						for line := range bytes.Lines(seen) {
							if !bytes.HasPrefix(line, []byte("#")) && !known(line, old, fresh) {
								t.Fatalf("from %q to %q, divided at %d: %q", old, want, at, line)
							}
						}
					}
				}
			}
			var left []string
			for line := range bytes.Lines(fresh) {
				if text := strings.TrimSuffix(string(line), "\n"); strings.Trim(text, "#") != "" {
					left = append(left, text)
				}
			}
			for line := range bytes.Lines(want) {
				if text := strings.TrimSuffix(string(line), "\n"); text != "" && !strings.Contains("\n"+strings.Join(left, "\n")+"\n", "\n"+text+"\n") {
					t.Fatalf("from %q to %q: %q is not there: %q", old, want, text, fresh)
				}
			}
			if len(left) > bytes.Count(want, []byte("\n")) {
				t.Fatalf("from %q to %q: %q", old, want, fresh)
			}
		}
	}
}
