package ldapsource

import (
	"fmt"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/registry"
)

// The bounds of what entries hold. Many directories let users write their own keys, so that one of them decides how large his entry
// is, and some together how large they all are.
const (
	// maxAttribute bounds the values of one attribute of an entry: twice what counts of a user's keys (maxText). It is below
	// maxMessage whatever the values are, so that an attribute which fills a message is beyond it too.
	maxAttribute = 512 << 10
	// valueCost is what a value takes beside its bytes: here 24 for the slice and 8 at least for its memory, on the wire at most 6.
	valueCost = 32
	// maxTotal bounds the values of all entries of a reading. 100,000 users take a sixth of it.
	maxTotal = 512 << 20
	// maxRejects bounds the values of one user that are told one by one.
	maxRejects = 64
)

// size is what the values of an entry take, in bytes.
func (e Entry) size() int {
	size := len(e.DN)
	for _, a := range e.Attributes {
		size += a.size()
	}
	return size
}

func (a Attribute) size() int {
	size := len(a.Name)
	for _, value := range a.Values {
		size += len(value) + valueCost
	}
	return size
}

// bounded is the entry without the attributes that are beyond maxAttribute, whatever their options.
func (e Entry) bounded() Entry {
	if e.size() <= maxAttribute { // as nearly always
		return e
	}
	sizes := make(map[string]int)
	for _, a := range e.Attributes {
		sizes[a.base()] += a.size()
	}
	for name, size := range sizes {
		if size > maxAttribute && !e.tooBig(name) {
			e.TooBig = append(slices.Clone(e.TooBig), name)
		}
	}
	e.Attributes = slices.DeleteFunc(slices.Clone(e.Attributes), func(a Attribute) bool { return e.tooBig(a.Name) })
	return e
}

// boundRejects drops what is beyond maxRejects: each is a line of the log. The list is in order, so that the same values make the same
// user.
func boundRejects(list []registry.Reject) []registry.Reject {
	if len(list) <= maxRejects {
		return list
	}
	return append(slices.Clone(list[:maxRejects]), registry.Reject{
		Origin: list[0].Origin, Code: codeMore, Detail: fmt.Sprintf("%d more, which are not told one by one", len(list)-maxRejects),
	})
}

// base is the attribute's name without options, in lower case.
func (a Attribute) base() string {
	name, _, _ := strings.Cut(a.Name, ";")
	return strings.ToLower(name)
}

func (e Entry) tooBig(name string) bool {
	base := Attribute{Name: name}.base()
	return slices.ContainsFunc(e.TooBig, func(big string) bool { return strings.EqualFold(big, base) })
}
