package watch

import (
	"context"
	"errors"
	"fmt"
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
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", path, err)
	}
	if err := notify.Add(filepath.Dir(path)); err != nil {
		return nil, errors.Join(fmt.Errorf("watch %w", explain(filepath.Dir(path), err)), notify.Close())
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
				if filepath.Clean(event.Name) != path {
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
