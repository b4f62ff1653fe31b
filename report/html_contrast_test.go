package report_test

import (
	"math"
	"os"
	"regexp"
	"strconv"
	"testing"
)

// Text is readable on what stands behind it by WCAG 2.2, 1.4.3 (AA), and bars are seen by 1.4.11.
func TestHTMLContrast(t *testing.T) {
	style, err := os.ReadFile("page/page.css")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile(`(?s):root \{(.*?)\}`).FindAllStringSubmatch(string(style), -1)
	if len(blocks) != 3 {
		t.Fatalf("%d palettes, want light, dark and print", len(blocks))
	}
	for i, block := range blocks {
		colour := make(map[string]float64)
		for _, c := range regexp.MustCompile(`--([a-z]+): #([0-9a-f]{6});`).FindAllStringSubmatch(block[1], -1) {
			colour[c[1]] = luminance(t, c[2])
		}
		check := func(front, back string, least float64) {
			a, b := colour[front], colour[back]
			if ratio := (max(a, b) + 0.05) / (min(a, b) + 0.05); ratio < least {
				t.Errorf("palette %d: %s on %s is %.2f, want %.1f", i, front, back, ratio, least)
			}
		}
		for _, front := range []string{"text", "soft", "link", "bad", "warn", "good"} {
			check(front, "ground", 4.5)
			check(front, "raised", 4.5)
		}
		for _, bar := range []string{"stay", "left", "go", "new"} {
			check(bar, "ground", 3)
		}
	}
}

// luminance is the relative luminance of WCAG 2.2.
func luminance(tb testing.TB, hex string) float64 {
	tb.Helper()
	n, err := strconv.ParseUint(hex, 16, 32)
	if err != nil {
		tb.Fatal(err)
	}
	linear := func(shift int) float64 {
		c := float64(n>>shift&0xff) / 255
		if c <= 0.04045 {
			return c / 12.92
		}
		return math.Pow((c+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(16) + 0.7152*linear(8) + 0.0722*linear(0)
}
