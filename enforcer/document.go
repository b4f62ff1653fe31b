package enforcer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/keyreeve/keyreeve/internal/statefile"
)

// versioned is what each small file of the daemon's own begins with. Version grows when an older program would misread it.
type versioned struct {
	Version int `json:"version"`
}

func (v versioned) version() int { return v.Version }

// readDocument reads a file of one JSON value, all of it or nothing; found is false where there is none. Errors name the file.
func readDocument(path string, bound int64, version int, into interface{ version() int }) (found bool, err error) {
	text, err := statefile.Read(path, bound)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := strictJSON(text, into); err != nil {
		return false, fmt.Errorf("%s: %w", path, err)
	}
	if into.version() != version {
		return false, fmt.Errorf("%s: is not of version %d", path, version)
	}
	return true, nil
}

// strictJSON decodes one JSON value with no field that is not known.
func strictJSON(text []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if decoder.More() {
		return errors.New("more than one value")
	}
	return nil
}
