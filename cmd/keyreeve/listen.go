package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/keyreeve/keyreeve/internal/statefile"
)

// The bounds of what is served. Whoever reaches the address may connect as often as he likes: one connection more than there may be ends the oldest, so
// that those who hold theirs keep nobody from being answered, a connection ends after exchangeLimit, however slowly something comes, a request
// has requestBound bytes, and connections come no faster than one each acceptPause, of which the daemon's own work feels nothing.
const (
	exchanges     = 16
	exchangeLimit = 5 * time.Second
	requestBound  = 8 << 10
	acceptPause   = time.Millisecond
	// listenPatience is the pause after an address that could not be had.
	listenPatience = 30 * time.Second
)

// serveMetrics answers at an address until it is told to end. One that cannot be had is logged once and tried again: it is no reason to keep no homes.
func (s *service) serveMetrics(ctx context.Context) (end func()) {
	if s.config.Metrics.Listen == "" {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	exporter, address := newExporter(s.metrics.text), s.config.Metrics.Listen
	var done sync.WaitGroup
	done.Go(func() {
		for failed := false; ctx.Err() == nil; {
			listener, err := listenAt(ctx, address)
			if err == nil {
				failed = false
				err = exporter.serve(ctx, listener)
			}
			if ctx.Err() == nil && !failed {
				failed = true
				s.log.Error("metrics are not served", zap.String("address", address), zap.Error(err), zap.Duration("retry_in", listenPatience))
			}
			select {
			case <-time.After(listenPatience):
			case <-ctx.Done():
			}
		}
	})
	return func() {
		cancel()
		done.Wait()
	}
}

func listenAt(ctx context.Context, address string) (net.Listener, error) {
	if strings.HasPrefix(address, "/") {
		return statefile.ListenUnix(ctx, address)
	}
	return new(net.ListenConfig).Listen(ctx, "tcp", address)
}

// exporter answers "GET /metrics" by HTTP, one request a connection.
type exporter struct {
	text  func() string
	limit time.Duration

	mu   sync.Mutex
	open []net.Conn // the oldest first
	made time.Time
	last string
}

func newExporter(text func() string) *exporter { return &exporter{text: text, limit: exchangeLimit} }

// serve answers until ctx ends, or the listener fails.
func (e *exporter) serve(ctx context.Context, listener net.Listener) error {
	var running sync.WaitGroup
	defer running.Wait()
	stop := context.AfterFunc(ctx, func() {
		_ = listener.Close()
		e.leave()
	})
	defer stop()
	for {
		conn, err := listener.Accept()
		if err != nil {
			_ = listener.Close()
			e.leave()
			return err
		}
		e.enter(conn)
		running.Go(func() {
			defer e.end(conn)
			e.answer(conn)
		})
		time.Sleep(acceptPause)
	}
}

// enter keeps a connection, and ends the oldest where there are too many.
func (e *exporter) enter(conn net.Conn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.open) == exchanges {
		_ = e.open[0].Close()
		e.open = slices.Delete(e.open, 0, 1)
	}
	e.open = append(e.open, conn)
}

func (e *exporter) end(conn net.Conn) {
	_ = conn.Close()
	e.mu.Lock()
	defer e.mu.Unlock()
	if at := slices.Index(e.open, conn); at >= 0 {
		e.open = slices.Delete(e.open, at, at+1)
	}
}

// leave ends all connections.
func (e *exporter) leave() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, conn := range e.open {
		_ = conn.Close()
	}
}

// answer reads one request and answers it. What is no request gets no answer.
func (e *exporter) answer(conn net.Conn) {
	if err := conn.SetDeadline(time.Now().Add(e.limit)); err != nil {
		return
	}
	request, err := http.ReadRequest(bufio.NewReader(io.LimitReader(conn, requestBound)))
	if err != nil {
		return
	}
	var status int
	var text string
	switch {
	case request.URL.Path != "/metrics":
		status, text = http.StatusNotFound, "the metrics are at /metrics\n"
	case request.Method != http.MethodGet:
		status, text = http.StatusMethodNotAllowed, "GET alone is answered\n"
	default:
		status, text = http.StatusOK, e.numbers()
	}
	fmt.Fprintf(conn, "HTTP/1.1 %d %s\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		status, http.StatusText(status), len(text), text)
}

// numbers are those of the last second, so that requests without end ask the daemon for nothing.
func (e *exporter) numbers() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if time.Since(e.made) >= metricsPause {
		e.last, e.made = e.text(), time.Now()
	}
	return e.last
}
