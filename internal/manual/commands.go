package manual

import (
	"fmt"
	"slices"
	"strings"
)

// Commands makes the reference of a program's commands of what it says itself: help is the output of "PROGRAM ARGS... --help", in the
// form of cobra's usage. "help" and "completion" are cobra's own, and left out.
func Commands(program string, help func(args ...string) (string, error)) (string, error) {
	var b strings.Builder
	err := walk(&b, program, nil, help)
	return b.String(), err
}

func walk(b *strings.Builder, program string, command []string, help func(args ...string) (string, error)) error {
	text, err := help(append(slices.Clip(command), "--help")...)
	if err != nil {
		return fmt.Errorf("ask %s %s for help: %w", program, strings.Join(command, " "), err)
	}
	said := sections(text)
	below := names(said["Available Commands"])
	if len(below) == 0 {
		usage := strings.TrimSuffix(strings.TrimSpace(said["Usage"]), " [flags]")
		fmt.Fprintf(b, "\n### %s\n\n%s\n", usage, said[""])
		if flags := options(said["Flags"]); flags != "" {
			fmt.Fprintf(b, "\n%s", flags)
		}
	}
	for _, name := range below {
		if name == "help" || name == "completion" {
			continue
		}
		if err := walk(b, program, append(slices.Clip(command), name), help); err != nil {
			return err
		}
	}
	return nil
}

// sections parts the text by its headings, lines such as "Flags:". What stands before the first is that of "".
func sections(text string) map[string]string {
	parts := make(map[string]string)
	heading := ""
	for block := range strings.SplitSeq(text, "\n\n") {
		first, rest, _ := strings.Cut(block, "\n")
		switch first {
		case "Usage:", "Available Commands:", "Flags:", "Global Flags:":
			heading, block = strings.TrimSuffix(first, ":"), rest
		}
		parts[heading] = strings.TrimPrefix(parts[heading]+"\n\n"+strings.TrimSuffix(block, "\n"), "\n\n")
	}
	return parts
}

// names are the first words of a table's lines.
func names(table string) []string {
	var list []string
	for row := range strings.Lines(table) {
		if fields := strings.Fields(row); len(fields) > 0 && strings.HasPrefix(row, "  ") {
			list = append(list, fields[0])
		}
	}
	return list
}

// options makes a table of pflag's, but for --help, which every command has.
func options(table string) string {
	const heading = "| option | what |\n|---|---|\n"
	var b strings.Builder
	for row := range strings.Lines(table) {
		flag, usage, ok := strings.Cut(strings.TrimSpace(row), "   ")
		if ok && !strings.HasPrefix(flag, "-h, ") {
			fmt.Fprintf(&b, "| `%s` | %s |\n", flag, strings.TrimSpace(usage))
		}
	}
	if b.Len() == 0 {
		return ""
	}
	return heading + b.String()
}
