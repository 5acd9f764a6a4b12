package openapi

import (
	_ "embed"
	"encoding/json"
	"path"
	"reflect"
	"strings"
)

// What types and fields are stands beside them, in the comments of packages api,
// messages and others; the program does not carry its sources. comments.json holds
// them by "package.Type" and "package.Type.Field": a test makes it, and fails
// when it is not what the sources say.
//
//go:embed comments.json
var commentsFile []byte

var comments = func() (all map[string]string) {
	_ = json.Unmarshal(commentsFile, &all) // a test reads it, too
	return all
}()

func typeName(t reflect.Type) string { return path.Base(t.PkgPath()) + "." + t.Name() }

// ownerOf is the type that declares a field, which may be embedded.
func ownerOf(t reflect.Type, f reflect.StructField) reflect.Type {
	for _, i := range f.Index[:len(f.Index)-1] {
		if t = t.Field(i).Type; t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
	}
	return t
}

func describeType(name string) string { return comments[name] }

// units are those that the end of a field's name tells.
var units = []struct{ suffix, unit string }{
	{"_per_second", "a second"},
	{"_seconds", "seconds"},
	{"_ms", "milliseconds"},
	{"_percent", "percent"},
	{"_bytes", "bytes"},
	{"_at", "RFC 3339, UTC"},
	{"price", "rupees"},
	{"quantity", "contracts or shares"},
	{"volume", "contracts or shares"},
	{"oi", "contracts"},
	{"open", "rupees"},
	{"high", "rupees"},
	{"low", "rupees"},
	{"close", "rupees"},
	{"bid", "rupees"},
	{"ask", "rupees"},
	{"change", "rupees"},
}

// describeField is a field's comment, or its name in words, with its unit.
func describeField(owner reflect.Type, field, key string) string {
	text := comments[typeName(owner)+"."+field]
	if text == "" {
		text = strings.ReplaceAll(key, "_", " ")
	}
	kind := owner
	if f, ok := owner.FieldByName(field); ok {
		kind = f.Type
	}
	if kind.Kind() == reflect.Pointer {
		kind = kind.Elem()
	}
	if k := kind.Kind(); k == reflect.Bool || k == reflect.String || k == reflect.Slice || k == reflect.Map {
		return text
	}
	for _, u := range units {
		if strings.HasSuffix(key, u.suffix) && !strings.Contains(text, u.unit) {
			return text + " (" + u.unit + ")"
		}
	}
	return text
}

// described adds a description. One beside a reference is allowed since 3.1.
func described(schema map[string]any, text string) map[string]any {
	schema["description"] = text
	return schema
}

// parameters in words.
var parameterTexts = map[string]string{
	"name": "the name that the list gives", "underlying": "the name of an underlying, like NIFTY", "kind": "the kind of reading, like pcr",
	"alert": "the name of an alert, like KitestringDown", "interval": "the length of a bar", "source": "whose prices the bars are made of",
	"from": "the first start, RFC 3339 or a day in IST", "to": "what starts here or later is left out, RFC 3339 or a day in IST",
	"limit": "at most so many, the newest", "format": "json, or csv", "expiry": "a day, like 2026-12-01; left out: the nearest",
	"topics":      "a list with commas; left out: all",
	"instruments": "a list with commas of instrument tokens and EXCHANGE:TRADINGSYMBOL, or all",
}

func describeParameter(name string) string {
	if text := parameterTexts[name]; text != "" {
		return text
	}
	return strings.ReplaceAll(name, "_", " ")
}
