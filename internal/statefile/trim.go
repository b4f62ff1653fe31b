package statefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Trim removes files from a folder of the daemon's, in the order of their names, until the others have at most budget bytes,
// and returns the names of the removed ones. The last file stays, whatever its size.
func Trim(dir string, budget int64) (removed []string, err error) {
	entries, err := os.ReadDir(dir) // sorted by name
	if err != nil {
		return nil, err
	}
	var files []fs.FileInfo
	var total int64
	for _, entry := range entries {
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // a temporary file of "keyreeve apply" beside the daemon, or what that one has trimmed
		}
		if err != nil {
			return nil, err
		}
		if info.Mode().IsRegular() {
			files, total = append(files, info), total+info.Size()
		}
	}
	for i := 0; total > budget && i < len(files)-1; i++ {
		if err := os.Remove(filepath.Join(dir, files[i].Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return removed, fmt.Errorf("make room in %s: %w", dir, err)
		}
		removed, total = append(removed, files[i].Name()), total-files[i].Size()
	}
	return removed, nil
}
