// Command demo shows keyreeve's main job on a throw-away tree: a registry in an LDIF file, a dozen homes, and the real program
// that plans, enforces and watches.
//
//	go run ./internal/demo -keyreeve bin/keyreeve [-keep]
//
// As root every home belongs to a uid of its own; an ordinary user owns them all. Nothing is left behind, no process and no
// file, unless -keep asks for the tree.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	program := flag.String("keyreeve", "bin/keyreeve", "the program to show")
	keep := flag.Bool("keep", false, "keep the tree")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := demo(ctx, *program, *keep)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "demo: %v\n", err)
		os.Exit(1)
	}
}

// demo builds the tree, plays the scenes and takes the tree away.
func demo(ctx context.Context, program string, keep bool) (err error) {
	program, err = filepath.Abs(program)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "keyreeve-demo-")
	if err != nil {
		return err
	}
	defer func() {
		if keep {
			fmt.Printf("\nThe tree is kept in %s; begin with\n  %s plan --config %s\n", dir, program, filepath.Join(dir, "keyreeve.yaml"))
			return
		}
		err = errors.Join(err, os.RemoveAll(dir))
	}()
	tree, err := build(dir)
	if err != nil {
		return fmt.Errorf("build the tree: %w", err)
	}
	return tree.play(ctx, program)
}
