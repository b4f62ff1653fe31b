package watch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/fsnotify/fsnotify"
)

// File watches one file of the administrator's, present or not, for a daemon that
// reads it. The channel gets a value after the file at path was written, made,
// removed or renamed over; several changes that nobody took yet are one value.
// It is closed when ctx ends or the watch is lost. The directory is watched, so
// it must exist, and a file exchanged by rename is noticed; a change behind a
// link is not.
func File(ctx context.Context, path string) (<-chan struct{}, error) {
	path = filepath.Clean(path)
	return report(ctx, []string{filepath.Dir(path)}, func(name string) bool { return name == path })
}

// Folders is File for everything that happens in some directories of the
// administrator's. Those that are not there are left out.
func Folders(ctx context.Context, dirs []string) (<-chan struct{}, error) {
	var there []string
	for _, dir := range dirs {
		if _, err := os.Stat(dir); err == nil {
			there = append(there, dir)
		}
	}
	return report(ctx, there, func(string) bool { return true })
}

func report(ctx context.Context, dirs []string, wanted func(name string) bool) (<-chan struct{}, error) {
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch: %w", err)
	}
	for _, dir := range dirs {
		if err := notify.Add(dir); err != nil {
			return nil, errors.Join(fmt.Errorf("watch %w", explain(dir, err)), notify.Close())
		}
	}
	changed := make(chan struct{}, 1)
	go func() {
		defer close(changed)
		defer func() { _ = notify.Close() }()
		for {
			select {
			case <-ctx.Done():
				return
			case event, ok := <-notify.Events:
				if !ok {
					return
				}
				if !wanted(filepath.Clean(event.Name)) {
					continue
				}
			case _, ok := <-notify.Errors:
				if !ok {
					return
				}
				// Events were lost; the change may be among them.
			}
			select {
			case changed <- struct{}{}:
			default:
			}
		}
	}()
	return changed, nil
}
