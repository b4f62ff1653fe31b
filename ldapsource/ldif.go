package ldapsource

import (
	"context"
	"fmt"

	"github.com/keyreeve/keyreeve/internal/statefile"
	"github.com/keyreeve/keyreeve/registry"
)

// maxLDIF bounds an LDIF file, in bytes: about 200,000 users with a key or two each.
const maxLDIF = 256 << 20

// LDIF is a registry in an LDIF file, such as slapcat(8) or ldapsearch(1) write.
type LDIF struct {
	// Canary is what every reading must hold.
	Canary Canary

	path   string
	layout Layout
}

// NewLDIF names a file; it is read by Fetch.
func NewLDIF(path string, layout Layout) *LDIF {
	return &LDIF{path: path, layout: layout}
}

// Fetch reads the whole registry. The file must hold entries and no changes, in the strict form of RFC 2849, and end
// with a newline: a file that was cut in the middle of a line is an error. It must be trustworthy as internal/statefile
// says. Errors name the file and, where one is wrong, the line.
func (l *LDIF) Fetch(ctx context.Context) (*registry.Snapshot, error) {
	p, err := l.scan(ctx)
	if err != nil {
		return nil, err
	}
	return l.Canary.folded(l.layout.Schema).proven(l.layout.Decode(p.entries, l.path))
}

func (l *LDIF) scan(ctx context.Context) (ldifParser, error) {
	if err := ctx.Err(); err != nil {
		return ldifParser{}, fmt.Errorf("%s: %w", l.path, err)
	}
	data, err := statefile.Read(l.path, maxLDIF)
	if err != nil {
		return ldifParser{}, err
	}
	p, err := scanLDIF(data)
	if err != nil {
		return ldifParser{}, fmt.Errorf("%s: %w", l.path, err)
	}
	return p, nil
}
