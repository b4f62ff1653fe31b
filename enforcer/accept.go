package enforcer

import (
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/keyreeve/keyreeve/internal/audit"
)

// ReasonLoss is why a reading was held: too many people lose something by it.
const ReasonLoss = "loss"

// Accept lets the held reading through, once, in the name of a person. Whoever holds it, the daemon or the next apply, takes it. The
// trail has the intent before, and the outcome after.
func (e *Enforcer) Accept(g *Gate, v Verdict, by string) error {
	records := []audit.Record{{
		ID: rand.Text(), Action: audit.AcceptRegistry, UID: -1, File: filepath.Join(g.dir, heldFile), Reason: ReasonLoss,
		Message: fmt.Sprintf("accepted by %s: %s; digest %s", by, v.Summary(), v.Digest),
	}}
	if err := e.tell(audit.Intent, records); err != nil {
		return fmt.Errorf("the reading is not accepted: %w", err)
	}
	if err := writeSmall(g.dir, acceptedFile, accepted{Digest: v.Digest, By: by, At: e.Now().UTC()}); err != nil {
		return errors.Join(fmt.Errorf("accept the reading: %w", err), e.tell(audit.Failure, records))
	}
	return e.tell(audit.Success, records)
}

// AcceptedPath is where the word of an administrator lies, in the directory of a gate: for who watches it.
func AcceptedPath(dir string) string { return filepath.Join(dir, acceptedFile) }
