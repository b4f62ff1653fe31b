package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// named are the metrics that a file asks for.
func named(t *testing.T, path ...string) (text string, names []string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(append([]string{"..", ".."}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	names = regexp.MustCompile(`\bkeyreeve_\w+`).FindAllString(string(data), -1)
	if len(names) == 0 {
		t.Fatalf("%v names no metric", path)
	}
	return string(data), names
}

// Rules and dashboard ask for no metric that there is not, and the rules have an answer in docs/operations.md each.
func TestMonitoringNamesWhatThereIs(t *testing.T) {
	known := families()
	rules, names := named(t, "configs", "prometheus-rules.yaml")
	dashboard, more := named(t, "configs", "grafana-dashboard.json")
	for _, name := range append(names, more...) {
		base := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
		if known[name] == "" && known[base] != "histogram" {
			t.Errorf("there is no metric %s", name)
		}
	}
	if !json.Valid([]byte(dashboard)) {
		t.Error("the dashboard is no JSON")
	}
	operations, err := os.ReadFile(filepath.Join("..", "..", "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	anchors := make(map[string]bool)
	for _, match := range regexp.MustCompile(`(?m)^## (.+)$`).FindAllStringSubmatch(string(operations), -1) {
		anchors[strings.ReplaceAll(strings.ToLower(match[1]), " ", "-")] = true
	}
	alerts := regexp.MustCompile(`(?m)^ +- alert: (\w+)$`).FindAllStringSubmatch(rules, -1)
	books := regexp.MustCompile(`(?m)^ +runbook_url: https://github.com/keyreeve/keyreeve/blob/main/docs/operations.md#(\S+)$`).FindAllStringSubmatch(rules, -1)
	if len(alerts) == 0 || len(alerts) != len(books) {
		t.Fatalf("%d alerts have %d runbooks", len(alerts), len(books))
	}
	for i, book := range books {
		if !anchors[book[1]] {
			t.Errorf("docs/operations.md has nothing under %s, which %s names", book[1], alerts[i][1])
		}
		if !strings.Contains(string(operations), "`"+alerts[i][1]+"`") {
			t.Errorf("docs/operations.md does not say where the alert %s leads", alerts[i][1])
		}
	}
}

// Each alert is raised when it should be and not before: testdata/prometheus-rules_test.yaml has both sides of each.
func TestAlerts(t *testing.T) {
	promtool(t, "", "check", "rules", filepath.Join("..", "..", "configs", "prometheus-rules.yaml"))
	tests := filepath.Join("testdata", "prometheus-rules_test.yaml")
	promtool(t, "", "test", "rules", tests)
	rules, _ := named(t, "configs", "prometheus-rules.yaml")
	text, err := os.ReadFile(tests)
	if err != nil {
		t.Fatal(err)
	}
	for _, match := range regexp.MustCompile(`(?m)^ +- alert: (\w+)$`).FindAllStringSubmatch(rules, -1) {
		raised := regexp.MustCompile(`alertname: ` + match[1] + "\n +exp_alerts:\n").MatchString(string(text))
		spared := regexp.MustCompile(`alertname: ` + match[1] + "\n +exp_alerts: \\[\\]\n").MatchString(string(text))
		if !raised || !spared {
			t.Errorf("the alert %s is tested from one side at most: raised %v, not raised %v", match[1], raised, spared)
		}
	}
}

// The dashboard asks in a language that Prometheus understands.
func TestDashboardIsPrometheus(t *testing.T) {
	text, _ := named(t, "configs", "grafana-dashboard.json")
	var dashboard struct {
		Panels []struct {
			Title   string `json:"title"`
			Targets []struct {
				Expr string `json:"expr"`
			} `json:"targets"`
		} `json:"panels"`
	}
	if err := json.Unmarshal([]byte(text), &dashboard); err != nil {
		t.Fatal(err)
	}
	var rules strings.Builder
	rules.WriteString("groups:\n- name: dashboard\n  rules:\n")
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			fmt.Fprintf(&rules, "  - {record: asked, expr: %q, labels: {panel: %q, n: \"%d\"}}\n",
				strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*").Replace(target.Expr), panel.Title, rules.Len())
		}
	}
	path := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(path, []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "", "check", "rules", path)
}
