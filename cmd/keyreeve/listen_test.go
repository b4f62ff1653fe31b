package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// exporting serves a text until the test ends.
func exporting(t *testing.T, limit time.Duration) (address string) {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := newExporter(func() string { return "keyreeve_homes 3\n" })
	e.limit = limit
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		select {
		case <-ended:
		case <-time.After(patience):
			t.Error("it does not end")
		}
	})
	return listener.Addr().String()
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn
}

// asks sends a request and returns the answer, whose status is 0 where there is none.
func asks(t *testing.T, conn net.Conn, request string) (status int, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, request); err != nil {
		return 0, ""
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, ""
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

const scrape = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"

// One question is answered, and no other.
func TestExporterAnswers(t *testing.T) {
	address := exporting(t, exchangeLimit)
	for request, want := range map[string]int{
		scrape:                              http.StatusOK,
		"GET /metrics?x=1 HTTP/1.0\r\n\r\n": http.StatusOK,
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n": http.StatusNotFound,
		"GET /metrics/../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n":       http.StatusNotFound,
		"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx": http.StatusMethodNotAllowed,
		"no request\r\n\r\n": 0,
		"GET /metrics HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", requestBound) + "\r\n\r\n": 0,
	} {
		status, text := asks(t, dial(t, address), request)
		if status != want || (text == "keyreeve_homes 3\n") != (want == http.StatusOK) {
			t.Errorf("%.60q is answered with %d, want %d: %q", request, status, want, text)
		}
	}
}

// Who holds connections keeps nobody from being answered: one more than there may be ends the oldest.
func TestExporterIsNotHeld(t *testing.T) {
	address := exporting(t, time.Hour)
	var held []net.Conn
	for range 10 * exchanges {
		held = append(held, dial(t, address))
	}
	if status, _ := asks(t, dial(t, address), scrape); status != http.StatusOK {
		t.Errorf("beside %d connections that say nothing the answer is %d", len(held), status)
	}
	for _, conn := range held[:len(held)-exchanges] {
		if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("a connection stays although there are later ones: %v", err)
		}
	}
}

// Nobody is waited for without end, though he says a byte now and then.
func TestExporterDoesNotWait(t *testing.T) {
	address := exporting(t, 300*time.Millisecond)
	slow, silent := dial(t, address), dial(t, address)
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if _, err := io.WriteString(slow, "G"); err != nil {
			break
		}
		if time.Since(began) > patience {
			t.Fatal("who says a byte now and then is waited for")
		}
	}
	if _, err := silent.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("who says nothing is waited for: %v", err)
	}
}

// The daemon answers at a socket, also in place of one that a crash has left; what is no socket stays, and the daemon works without.
func TestDaemonServesMetrics(t *testing.T) {
	s := newSite(t)
	_, keys := vectors(t)
	user := s.newMember(1, keys["A"])
	user.write(t, "authorized_keys", keys["B"]+" intruder\n"+keys["A"]+"\n")
	s.put("registry.ldif", entries(user))
	s.configure("enforce", s.ldifRegistry())
	text, err := os.ReadFile(s.path("keyreeve.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	socket := s.path("run", "metrics.sock")
	s.put("keyreeve.yaml", string(text)+"metrics: {listen: "+socket+"}\n")
	d := s.start()
	scraped := func() {
		t.Helper()
		d.await("every home was looked at", 1)
		eventually(t, "the numbers are there", func() bool {
			conn, err := new(net.Dialer).DialContext(t.Context(), "unix", socket)
			if err != nil {
				return false
			}
			defer func() { _ = conn.Close() }()
			status, text := asks(t, conn, scrape)
			return status == http.StatusOK && strings.Contains(text, "\nkeyreeve_homes 1\n")
		})
	}
	scraped()
	d.signal(syscall.SIGKILL)
	<-d.ended
	if _, err := os.Lstat(socket); err != nil {
		t.Errorf("the crash has left no socket: %v", err)
	}
	d = s.start()
	scraped()
	d.stop()
	if _, err := os.Lstat(socket); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket stays: %v", err)
	}
	s.put(filepath.Join("run", "metrics.sock"), "no socket")
	d = s.start()
	d.await("metrics are not served", 1)
	user.append(t, "authorized_keys", keys["B"]+" again\n")
	user.loses(t, "authorized_keys", keys["B"])
	d.stop()
	if text, err := os.ReadFile(socket); err != nil || string(text) != "no socket" {
		t.Errorf("what was no socket is %q, %v", text, err)
	}
}
