// Package cow holds maps of which a changed copy shares what did not change (copy on write).
//
// A registry of a hundred thousand users changes by one user at a time. A copy of a map of all of them takes ten milliseconds and as
// much again of the garbage collector's time; one of a [Map] takes microseconds, and what differs between two is found without
// a look at the rest.
//
// The package is pure: no I/O, no clock, no log.
package cow

import (
	"hash/maphash"
	"iter"
	"maps"
)

// parts is into how many maps the keys fall: a changed copy costs a list of so many pointers, and one part.
const parts = 512

// Map is an immutable map. The zero Map is empty.
type Map[V any] struct {
	seed  maphash.Seed // random, so that nobody can choose names that fall into one part
	parts []*part[V]   // nil where there is nothing
	size  int
}

type part[V any] struct{ of map[string]V }

// Of is a map with what the other one holds now.
func Of[V any](all map[string]V) Map[V] {
	return Map[V]{}.With(all)
}

// Get returns the value of a key.
func (m Map[V]) Get(key string) (value V, there bool) {
	if m.size == 0 {
		return value, false
	}
	if p := m.parts[m.at(key)]; p != nil {
		value, there = p.of[key]
	}
	return value, there
}

// Len is the number of keys.
func (m Map[V]) Len() int { return m.size }

// All yields keys and values in no order.
func (m Map[V]) All() iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for _, p := range m.parts {
			if p == nil {
				continue
			}
			for key, value := range p.of {
				if !yield(key, value) {
					return
				}
			}
		}
	}
}

// With is the map with other values, or further ones.
func (m Map[V]) With(values map[string]V) Map[V] {
	with, fresh := m.begin()
	for key, value := range values {
		p := with.own(key, fresh)
		if _, there := p.of[key]; !there {
			with.size++
		}
		p.of[key] = value
	}
	return with
}

// Without is the map without some keys, which need not be there.
func (m Map[V]) Without(keys ...string) Map[V] {
	without, fresh := m.begin()
	for _, key := range keys {
		if _, there := without.Get(key); there {
			delete(without.own(key, fresh).of, key)
			without.size--
		}
	}
	return without
}

// Differing yields the keys whose values may be other ones, or missing, in one of two maps. If one was made of the other, these are
// few.
func Differing[V any](a, b Map[V]) iter.Seq[string] {
	return func(yield func(string) bool) {
		kin := a.seed == b.seed && len(a.parts) == len(b.parts)
		for i, p := range a.parts {
			if p == nil || kin && p == b.parts[i] {
				continue
			}
			for key := range p.of {
				if !yield(key) {
					return
				}
			}
		}
		for i, p := range b.parts {
			if p == nil || kin && p == a.parts[i] {
				continue
			}
			for key := range p.of {
				if _, twice := a.Get(key); !twice && !yield(key) {
					return
				}
			}
		}
	}
}

// begin is a copy that shares every part, and notes which it does not share any more.
func (m Map[V]) begin() (_ Map[V], fresh []bool) {
	if m.parts == nil {
		m.seed = maphash.MakeSeed()
	}
	list := make([]*part[V], parts)
	copy(list, m.parts)
	m.parts = list
	return m, make([]bool, parts)
}

// own makes the part of a key one that is not shared.
func (m Map[V]) own(key string, fresh []bool) *part[V] {
	i := m.at(key)
	switch {
	case fresh[i]:
	case m.parts[i] == nil:
		m.parts[i] = &part[V]{make(map[string]V)}
	default:
		m.parts[i] = &part[V]{maps.Clone(m.parts[i].of)}
	}
	fresh[i] = true
	return m.parts[i]
}

func (m Map[V]) at(key string) uint64 { return maphash.String(m.seed, key) % parts }
