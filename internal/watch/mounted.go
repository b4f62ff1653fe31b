package watch

import (
	"path"
	"slices"
	"strings"
)

// Mounted adds the hints of mounts that came or went at some mount points: for
// whom a watched directory, a directory above one, or a name that counts in one is such a point, or
// leads to it. What is on the way to a user's file is another one then, and no
// watch tells.
func (w *Watcher) Mounted(points []string) {
	moved := newPlaces(points)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range w.dirs {
		for user, share := range d.shares {
			if share.touched(moved) {
				w.queue.add(user)
			}
		}
	}
}

// places are paths, in a form in which each directory costs a few look-ups, however many they are.
type places struct {
	at    map[string]bool
	below map[string]map[string]bool // by each directory above them: the next names, in lower case
}

func newPlaces(points []string) places {
	p := places{at: make(map[string]bool), below: make(map[string]map[string]bool)}
	for _, point := range points {
		p.at[point] = true
		for ; point != "/" && point != "."; point = path.Dir(point) {
			above := path.Dir(point)
			if p.below[above] == nil {
				p.below[above] = make(map[string]bool)
			}
			p.below[above][strings.ToLower(path.Base(point))] = true
		}
	}
	return p
}

func (s share) touched(p places) bool {
	for _, dir := range s.paths {
		names := p.below[dir]
		if s.all && len(names) > 0 || slices.ContainsFunc(s.names, func(mine string) bool { return names[strings.ToLower(mine)] }) {
			return true
		}
		for ; ; dir = path.Dir(dir) {
			if p.at[dir] {
				return true
			}
			if dir == "/" || dir == "." {
				break
			}
		}
	}
	return false
}
