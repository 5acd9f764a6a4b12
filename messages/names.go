package messages

import "fmt"

// nameOf is the name of a state; a value outside the list has none.
func nameOf(names []string, i uint8) string {
	if int(i) < len(names) {
		return names[i]
	}
	return "unknown"
}

// named is the reverse of nameOf.
func named(names []string, text []byte, into *uint8) error {
	for i, name := range names {
		if name == string(text) {
			*into = uint8(i)
			return nil
		}
	}
	return fmt.Errorf("%q is none of %v", text, names)
}
