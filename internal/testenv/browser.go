package testenv

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// browserPatience bounds the waiting for chromedriver to answer, and for a page to be there.
const browserPatience = 2 * time.Minute

// Browser is a headless Chromium of a test, driven by way of chromedriver (W3C WebDriver, https://www.w3.org/TR/webdriver2/).
type Browser struct {
	tb   testing.TB
	base string // of its session
	http http.Client
}

// StartBrowser starts one, which ends with the test. It needs the part "chromium".
func StartBrowser(tb testing.TB) *Browser {
	tb.Helper()
	Need(tb, "chromium")
	path, err := Program("chromedriver")
	if err != nil {
		tb.Fatal(err)
	}
	port := freePorts(tb, 1)[0]
	cmd := exec.Command(path, fmt.Sprintf("--port=%d", port), "--silent") //nolint:gosec,noctx // it ends with the test
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // with a browser that did not end with its session
		_ = cmd.Wait()
	})
	b := &Browser{tb: tb, base: fmt.Sprintf("http://127.0.0.1:%d", port), http: http.Client{Timeout: browserPatience}}
	b.await()
	b.begin()
	return b
}

// await returns when chromedriver answers.
func (b *Browser) await() {
	b.tb.Helper()
	for end := time.Now().Add(browserPatience); ; time.Sleep(10 * time.Millisecond) {
		answer, err := b.http.Get(b.base + "/status") //nolint:noctx // the client has a bound
		if err == nil {
			_ = answer.Body.Close()
			return
		}
		if time.Now().After(end) {
			b.tb.Fatalf("chromedriver does not answer: %v", err)
		}
	}
}

// begin opens a session. As root Chromium has no sandbox, and a container's /dev/shm can be too small for it.
func (b *Browser) begin() {
	b.tb.Helper()
	var session struct {
		SessionID string `json:"sessionId"`
	}
	b.call(http.MethodPost, "/session", map[string]any{"capabilities": map[string]any{"alwaysMatch": map[string]any{
		"goog:loggingPrefs":  map[string]string{"browser": "ALL"},
		"goog:chromeOptions": map[string]any{"args": []string{"--headless", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--window-size=1280,900"}},
	}}}, &session)
	b.base += "/session/" + session.SessionID
	b.tb.Cleanup(func() { b.call(http.MethodDelete, "", nil, nil) })
}

// call sends a command; a nil result is not wanted.
func (b *Browser) call(method, path string, body, result any) {
	b.tb.Helper()
	var text io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			b.tb.Fatal(err)
		}
		text = bytes.NewReader(encoded)
	}
	request, err := http.NewRequest(method, b.base+path, text) //nolint:noctx // the client has a bound
	if err != nil {
		b.tb.Fatal(err)
	}
	answer, err := b.http.Do(request)
	if err != nil {
		b.tb.Fatal(err)
	}
	defer answer.Body.Close() //nolint:errcheck // it was read
	var value struct {
		Value json.RawMessage `json:"value"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&value); err != nil || answer.StatusCode != http.StatusOK {
		b.tb.Fatalf("%s %s: %s: %v %s", method, path, answer.Status, err, value.Value)
	}
	if result == nil {
		return
	}
	if err := json.Unmarshal(value.Value, result); err != nil {
		b.tb.Fatalf("%s %s: %v in %s", method, path, err, value.Value)
	}
}

// Open goes to an address and returns when the page is loaded.
func (b *Browser) Open(address string) {
	b.tb.Helper()
	b.call(http.MethodPost, "/url", map[string]string{"url": address}, nil)
}

// Eval runs the body of a function in the page and reads what it returns into result.
func (b *Browser) Eval(script string, result any) {
	b.tb.Helper()
	b.call(http.MethodPost, "/execute/sync", map[string]any{"script": script, "args": []any{}}, result)
}

// element finds the first element of a CSS selector.
func (b *Browser) element(selector string) string {
	b.tb.Helper()
	found := make(map[string]string)
	b.call(http.MethodPost, "/element", map[string]string{"using": "css selector", "value": selector}, &found)
	return "/element/" + found["element-6066-11e4-a52e-4f735466cecf"] // the standard's web element identifier
}

// Click clicks on an element as a person does: one that is hidden or covered is an error.
func (b *Browser) Click(selector string) {
	b.tb.Helper()
	b.call(http.MethodPost, b.element(selector)+"/click", struct{}{}, nil)
}

// Type replaces the text of an input.
func (b *Browser) Type(selector, text string) {
	b.tb.Helper()
	element := b.element(selector)
	b.call(http.MethodPost, element+"/clear", struct{}{}, nil)
	b.call(http.MethodPost, element+"/value", map[string]string{"text": text}, nil)
}

// Command sends a command of the DevTools protocol (https://chromedevtools.github.io/devtools-protocol/).
func (b *Browser) Command(name string, parameters any) {
	b.tb.Helper()
	b.call(http.MethodPost, "/goog/cdp/execute", map[string]any{"cmd": name, "params": parameters}, nil)
}

// Console is what the browser and its pages have written to the console since the last call; violations of a content policy are there too.
func (b *Browser) Console() []string {
	b.tb.Helper()
	var entries []struct {
		Level   string `json:"level"`
		Message string `json:"message"`
	}
	b.call(http.MethodPost, "/se/log", map[string]string{"type": "browser"}, &entries)
	var lines []string
	for _, e := range entries {
		lines = append(lines, strings.ToLower(e.Level)+": "+e.Message)
	}
	return lines
}

// Screenshot is a PNG of the window.
func (b *Browser) Screenshot() []byte {
	b.tb.Helper()
	return b.picture(http.MethodGet, "/screenshot", nil)
}

// PDF is the page as it is printed.
func (b *Browser) PDF() []byte {
	b.tb.Helper()
	return b.picture(http.MethodPost, "/print", struct{}{})
}

func (b *Browser) picture(method, path string, body any) []byte {
	b.tb.Helper()
	var text string
	b.call(method, path, body, &text)
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		b.tb.Fatal(err)
	}
	return data
}
