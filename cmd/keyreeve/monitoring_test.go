package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// exposed are the numbers of a daemon that has counted a little of everything.
func exposed() string {
	m := newMetrics()
	m.noticing("sync")
	m.went(3 * time.Millisecond)
	m.went(5 * time.Millisecond)
	m.went(time.Hour)
	return m.text()
}

// families are the names of the metrics, with their kinds.
func families() map[string]string {
	found := make(map[string]string)
	for _, match := range regexp.MustCompile(`(?m)^# TYPE (\w+) (\w+)$`).FindAllStringSubmatch(exposed(), -1) {
		found[match[1]] = match[2]
	}
	return found
}

func promtool(t *testing.T, stdin string, arguments ...string) {
	t.Helper()
	testenv.Need(t, "promtool")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "promtool", arguments...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "lint") {
		t.Errorf("promtool %v: %v\n%s", arguments, err, out)
	}
}

// Prometheus' own tool reads the numbers, and finds nothing against its conventions.
func TestMetricsArePrometheus(t *testing.T) {
	promtool(t, exposed(), "check", "metrics")
	for _, line := range []string{
		`keyreeve_event_to_removal_seconds_bucket{le="0.005"} 2`, `keyreeve_event_to_removal_seconds_bucket{le="60"} 2`,
		`keyreeve_event_to_removal_seconds_bucket{le="+Inf"} 3`, `keyreeve_event_to_removal_seconds_sum 3600.008000`, `keyreeve_event_to_removal_seconds_count 3`,
	} {
		if !strings.Contains(exposed(), line+"\n") {
			t.Errorf("there is no line %s", line)
		}
	}
}

// What docs/metrics.md lists is what there is, with its kind.
func TestMetricsAreDocumented(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string]string)
	for _, match := range regexp.MustCompile("(?m)^\\| `(keyreeve_\\w+)[^`]*` \\| (\\w+) \\|").FindAllStringSubmatch(string(doc), -1) {
		documented[match[1]] = match[2]
	}
	for name, kind := range families() {
		if documented[name] != kind {
			t.Errorf("%s is a %s; docs/metrics.md has %q", name, kind, documented[name])
		}
		delete(documented, name)
	}
	for name := range documented {
		t.Errorf("docs/metrics.md has %s, which there is not", name)
	}
}
