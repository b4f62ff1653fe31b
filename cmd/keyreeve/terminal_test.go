package main

import "strings"

// unfolded is a text without its line breaks and indents, since reports are folded to the width of a terminal.
func unfolded(text string) string { return strings.Join(strings.Fields(text), " ") }
