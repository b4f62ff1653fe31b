package enforcer_test

import (
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyreeve/keyreeve/internal/homes"
)

// Whoever writes a file is given the time to end a line, as long as no key is to go from it.
func TestRunnerIsPatientWithAWriter(t *testing.T) {
	for name, play := range map[string]func(d *daemon, a homes.Account){
		"a file that somebody is writing": func(d *daemon, a homes.Account) {
			d.start()
			line := lineA + "\n"
			writer, err := os.OpenFile(d.file(a), os.O_WRONLY|os.O_TRUNC, 0)
			must := func(err error) {
				d.t.Helper()
				if err != nil {
					d.t.Fatal(err)
				}
			}
			must(err)
			_, err = writer.WriteString(line[:30])
			must(err)
			d.hints <- "alice"
			d.want(a, line[:30], "in the middle of a line")
			_, err = writer.WriteString(line[30:])
			must(errors.Join(err, writer.Close()))
			time.Sleep(2 * time.Second)
			d.want(a, line, "at the second look")

			writer, err = os.OpenFile(d.file(a), os.O_WRONLY|os.O_APPEND, 0)
			must(err)
			defer writer.Close()
			_, err = writer.WriteString(lineB + "\n")
			must(err)
			d.hints <- "alice"
			d.want(a, line, "a key goes though its writer is there")
		},
		"a file that stays open for writing": func(d *daemon, a homes.Account) {
			d.start()
			d.write(a, lineA+"\nssh-ed25519 AAAA\n")
			writer, err := os.OpenFile(d.file(a), os.O_WRONLY, 0)
			if err != nil {
				d.t.Fatal(err)
			}
			defer writer.Close()
			d.hints <- "alice"
			time.Sleep(2 * time.Second)
			d.want(a, lineA+"\n", "at the second look")
		},
		"a file that looks unfinished again and again": func(d *daemon, a homes.Account) {
			d.start()
			waited := 0
			for range 30 {
				d.restore(a, mixed)
				d.hints <- "alice"
				time.Sleep(100 * time.Millisecond)
				synctest.Wait()
				if d.read(a) == mixed {
					waited++
				}
				time.Sleep(2900 * time.Millisecond)
			}
			if waited != 2 {
				d.t.Errorf("it was waited for him %d times in a minute and a half, want once a minute", waited)
			}
		},
		"a line that is written in many steps": func(d *daemon, a homes.Account) {
			d.start()
			line := lineA + "\n"
			writer, err := os.OpenFile(d.file(a), os.O_WRONLY|os.O_TRUNC, 0)
			if err != nil {
				d.t.Fatal(err)
			}
			for i := range 9 {
				if _, err := writer.WriteString(line[i*5 : i*5+5]); err != nil {
					d.t.Fatal(err)
				}
				d.hints <- "alice"
				synctest.Wait()
				time.Sleep(100 * time.Millisecond)
			}
			d.want(a, line[:45], "while it is written, though every step is a hint")
			if _, err := writer.WriteString(line[45:]); err != nil || writer.Close() != nil {
				d.t.Fatal(err)
			}
			time.Sleep(2 * time.Second)
			d.want(a, line, "when it is whole")
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCentre(t)
			a := c.account("alice", mixed)
			synctest.Test(t, func(t *testing.T) {
				d := newDaemon(t, c)
				d.source.set(register(t, nil, onlyA, a), nil)
				play(d, a)
				d.end()
			})
		})
	}
}
