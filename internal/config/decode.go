package config

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"
)

// decode fills into from YAML. Unknown keys and keys without a value are found first, by a walk of our own: the library
// names neither the place nor the key that was meant.
func decode[T any](name string, data []byte, into *T) error {
	var root yaml.Node
	if err := yaml.Load(data, &root); err != nil {
		return readable(name, err)
	}
	if root.Kind == yaml.DocumentNode && len(root.Content) == 1 {
		root = *root.Content[0]
	}
	if wrong := unknown(name, &root, reflect.TypeFor[T](), ""); len(wrong) > 0 {
		return errors.Join(wrong...)
	}
	if err := yaml.Load(data, into, yaml.WithKnownFields()); err != nil {
		return readable(name, err)
	}
	return nil
}

// unknown finds the keys below node that the type does not have, and those that have no value.
func unknown(name string, node *yaml.Node, t reflect.Type, at string) []error {
	switch {
	case node.Kind == yaml.SequenceNode && t.Kind() == reflect.Slice:
		var wrong []error
		for i, item := range node.Content {
			wrong = append(wrong, unknown(name, item, t.Elem(), fmt.Sprintf("%s[%d].", strings.TrimSuffix(at, "."), i))...)
		}
		return wrong
	case node.Kind != yaml.MappingNode || t.Kind() != reflect.Struct:
		return nil
	}
	var wrong []error
	fields := fieldsOf(t)
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		field, known := fields[key.Value]
		switch {
		case !known:
			wrong = append(wrong, fmt.Errorf("%s:%d: unknown key %s%s%s", name, key.Line, at, printable(key.Value), suggest(key.Value, fields)))
		case value.Kind == yaml.ScalarNode && value.Tag == "!!null":
			wrong = append(wrong, fmt.Errorf("%s:%d: %s%s has no value", name, key.Line, at, key.Value))
		default:
			wrong = append(wrong, unknown(name, value, field, at+key.Value+".")...)
		}
	}
	return wrong
}

// printable keeps a key that is no word from breaking the message.
func printable(key string) string {
	quoted := fmt.Sprintf("%+q", key)
	if plain := quoted[1 : len(quoted)-1]; plain == key && key != "" {
		return key
	}
	return quoted
}

// fieldsOf gives the type of each key of a struct.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	fields := make(map[string]reflect.Type)
	for field := range t.Fields() {
		if key, _, _ := strings.Cut(field.Tag.Get("yaml"), ","); key != "-" && key != "" {
			fields[key] = field.Type
		}
	}
	return fields
}

// suggest names the known key that is nearest to a misspelt one, where one is near.
func suggest(key string, fields map[string]reflect.Type) string {
	best, least := "", math.MaxInt
	for known := range fields {
		d := distance(key, known)
		if d <= max(2, len(known)/2) && (d < least || d == least && known < best) {
			best, least = known, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %s?)", best)
}

// distance is the number of bytes to put in, take out or replace to make one word of the other (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}

// readable turns the library's errors into lines of the form file:line: message.
func readable(name string, err error) error {
	if all, ok := errors.AsType[*yaml.LoadErrors](err); ok {
		var list []error
		for _, one := range all.Errors {
			list = append(list, place(name, one))
		}
		return errors.Join(list...)
	}
	if one, ok := errors.AsType[*yaml.LoadError](err); ok {
		return place(name, one)
	}
	return fmt.Errorf("%s: %w", name, err)
}

// construct is what the library says of a value of the wrong kind.
var construct = regexp.MustCompile("^cannot construct !![a-z]+(?: (`.*`))? into (.+)$")

// kind is what people call the Go type of a value.
func kind(goType string) string {
	switch goType {
	case "time.Duration":
		return "time such as 90s, 10m or 24h"
	case "int":
		return "whole number"
	case "bool":
		return "value of true and false"
	case "string":
		return "text"
	}
	if strings.HasPrefix(goType, "[]") {
		return "list"
	}
	return "group of keys"
}

func place(name string, err *yaml.LoadError) error {
	message := strings.TrimPrefix(err.Message, "yaml: ")
	if message == "no documents in stream" {
		message = "the file is empty, or all of it is a comment"
	}
	if parts := construct.FindStringSubmatch(message); parts != nil {
		message = fmt.Sprintf("%s is no %s", cmp.Or(parts[1], "what stands here"), kind(parts[2]))
	}
	if err.Mark.Line <= 0 {
		return fmt.Errorf("%s: %s", name, message)
	}
	return fmt.Errorf("%s:%d: %s", name, err.Mark.Line, message)
}
