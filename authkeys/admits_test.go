package authkeys

import (
	"net/netip"
	"testing"
	"time"
)

func TestAdmits(t *testing.T) {
	for from, clients := range map[string]map[string]bool{
		"192.0.2.0/24":                 {"192.0.2.1": true, "192.0.3.1": false, "::ffff:192.0.2.1": true, "2001:db8::1": false},
		"192.0.2.1,2001:db8::/32":      {"192.0.2.1": true, "2001:db8::7": true, "192.0.2.2": false},
		"192.0.2.*":                    {"192.0.2.77": true, "192.0.20.1": false},
		"!192.0.2.1,192.0.2.0/24":      {"192.0.2.1": false, "192.0.2.2": true},
		"192.0.2.0/24,!192.0.2.1":      {"192.0.2.1": false, "192.0.2.2": true},
		"!192.0.2.1":                   {"192.0.2.2": false},
		"192.0.2.1/24,192.0.2.2":       {"192.0.2.2": false}, // bits behind the mask: an error, and nobody gets in
		"192.0.2.0/33,192.0.2.2":       {"192.0.2.2": false},
		"192.0.2.2,":                   {"192.0.2.2": false},
		"*":                            {"192.0.2.2": true, "2001:db8::7": true},
		"*.example.org,desk":           {"192.0.2.2": false},
		"192.0.2.?":                    {"192.0.2.2": true, "192.0.2.22": false},
		"2001:DB8:0:0:0:0:0:1":         {"2001:db8::1": true},
		"***********************x*z*z": {"192.0.2.2": false},
	} {
		options, err := ParseOptions(`from="` + from + `"`)
		if err != nil {
			t.Fatal(err)
		}
		for client, want := range clients {
			if got := options.Admits(netip.MustParseAddr(client)); got != want {
				t.Errorf("from=%q admits %s: %v, want %v", from, client, got, want)
			}
		}
	}
	if !(Options{}).Admits(netip.MustParseAddr("192.0.2.1")) {
		t.Error("without from nobody is let in")
	}
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true},
		{"", "a", false},
		{"*", "", true},
		{"a*", "a", true},
		{"*a", "bba", true},
		{"*a", "bab", false},
		{"a*b*c", "aXbXbXc", true},
		{"a*b*c", "aXcXb", false},
		{"??", "a", false},
		{"?*", "a", true},
		{"ada", "ADA", false},
		{"*ab", "aab", true},
	} {
		if got := Match(c.pattern, c.text); got != c.want {
			t.Errorf("%q matches %q: %v", c.pattern, c.text, got)
		}
	}
}

func TestExpiry(t *testing.T) {
	east := time.FixedZone("east", 3600)
	for field, want := range map[string]time.Time{
		"restrict":                                      {},
		`expiry-time="20261231"`:                        time.Date(2026, 12, 31, 0, 0, 0, 0, east),
		`expiry-time="20261231Z"`:                       time.Date(2026, 12, 31, 0, 0, 0, 0, time.UTC),
		`expiry-time="202612312359"`:                    time.Date(2026, 12, 31, 23, 59, 0, 0, east),
		`expiry-time="20261231235958uTc"`:               time.Date(2026, 12, 31, 23, 59, 58, 0, time.UTC),
		`expiry-time="20270101",expiry-time="20261231"`: time.Date(2026, 12, 31, 0, 0, 0, 0, east),
	} {
		options, err := ParseOptions(field)
		if err != nil {
			t.Fatal(err)
		}
		if got := options.Expiry(east); !got.Equal(want) {
			t.Errorf("%s ends at %v, want %v", field, got, want)
		}
	}
}
