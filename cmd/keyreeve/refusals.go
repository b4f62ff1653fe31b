package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/config"
	"github.com/keyreeve/keyreeve/internal/statefile"
)

// refusalsPerMinute bounds the records of one user's refused sessions, whatever keys he tries: each is brought to the disk, and he can have as many as
// sshd lets him log in.
const refusalsPerMinute = 10

// countRefusal counts a refused session in a file of its user's, and reports whether it is to be recorded, and how many were not since the last that
// was. With an error it is. It takes no lock: of sessions that are refused at one moment a few more may be recorded, or fewer counted.
func countRefusal(c config.Config, user string, now time.Time) (recorded bool, missed int, err error) {
	dir := filepath.Join(c.StateDir, "refused")
	if err := ready(c.StateDir, dir); err != nil {
		return true, 0, err
	}
	sum := sha256.Sum256([]byte(strings.ToLower(user))) // one account may have several spellings
	name := hex.EncodeToString(sum[:])
	var minute int64
	var count int
	data, err := statefile.Read(filepath.Join(dir, name), 100)
	if err == nil {
		_, err = fmt.Sscanf(string(data), "%d %d %d\n", &minute, &count, &missed)
	}
	if this := now.Unix() / 60; err != nil || minute != this { // what cannot be read begins anew
		minute, count = this, 0
	}
	count++
	recorded = count <= refusalsPerMinute
	left := 0
	if !recorded {
		left = missed + 1
	}
	err = statefile.Publish(dir, name, fmt.Appendf(nil, "%d %d %d\n", minute, count, left), 0o600)
	return recorded || err != nil, missed, err
}
