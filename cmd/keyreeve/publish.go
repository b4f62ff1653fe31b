package main

import (
	"context"
	"io/fs"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"github.com/keyreeve/keyreeve/internal/statefile"
)

// What the daemon tells of itself is written again when something has changed, though not more often than metricsPause, and every metricsPeriod all
// the same: how old it is says whether the daemon lives.
const (
	metricsPause  = time.Second
	metricsPeriod = 15 * time.Second
	// earlyPause is metricsPause in the first earlyFor of a daemon, whose starter wants to know what became of it.
	earlyPause = 100 * time.Millisecond
	earlyFor   = 10 * time.Second
)

// publish keeps what "keyreeve status" reads, and the file of metrics where one is configured, until it is told to end; then it writes the
// last numbers, and the other file goes: no daemon runs any more.
func (s *service) publish(ctx context.Context) (end func()) {
	path := vitalsPath(s.config)
	// What is changed while the daemon ends counts too.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	files := []file{{path, 0o600, s.vitals}}
	if s.config.Metrics.Textfile != "" {
		files = append(files, file{s.config.Metrics.Textfile, 0o644, func() ([]byte, error) { return []byte(s.metrics.text()), nil }})
	}
	go func() {
		defer close(done)
		s.keepFiles(ctx, files)
	}()
	return func() {
		cancel()
		<-done
		if err := statefile.Remove(path); err != nil {
			s.log.Error("the file of the daemon's state stays", zap.Error(err))
		}
	}
}

// file is one that tells of the daemon.
type file struct {
	path string
	mode fs.FileMode
	text func() ([]byte, error)
}

// keepFiles writes files until ctx ends, and once more then. A failure is logged once until it works again.
func (s *service) keepFiles(ctx context.Context, files []file) {
	for failed := make(map[string]bool); ; {
		for _, f := range files {
			text, err := f.text()
			if err == nil {
				err = statefile.Publish(filepath.Dir(f.path), filepath.Base(f.path), text, f.mode)
			}
			if err != nil && !failed[f.path] {
				s.log.Error("what tells of the daemon could not be written", zap.String("file", f.path), zap.Error(err))
			}
			failed[f.path] = err != nil
		}
		if ctx.Err() != nil {
			return
		}
		s.metrics.wait(ctx)
	}
}

// wait returns when the files are due.
func (m *metrics) wait(ctx context.Context) {
	period, pause := time.After(metricsPeriod), metricsPause
	if time.Since(m.started) < earlyFor {
		pause = earlyPause
	}
	select {
	case <-time.After(pause):
	case <-ctx.Done():
		return
	}
	select {
	case <-m.poke:
	case <-period:
	case <-ctx.Done():
	}
}
