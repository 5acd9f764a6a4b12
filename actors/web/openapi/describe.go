package openapi

import (
	"cmp"
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

// glossary says what a name means wherever a field has it and no comment.
var glossary = map[string]string{
	"age_seconds":      "seconds since the exchange's time of the newest packet; null: none yet",
	"ask":              "lowest price at which somebody sells, in rupees; null: nobody does, or not in mode full",
	"ask_quantity":     "units that are for sale at that price",
	"atm":              "strike nearest to the spot, in rupees",
	"atm_iv":           "implied volatility at the money, a year: 0.12 is 12 percent",
	"bar":              "the bar itself",
	"bid":              "highest price at which somebody buys, in rupees; null: nobody does, or not in mode full",
	"bid_quantity":     "units that are wanted at that price",
	"call_oi":          "open interest of all calls, in units",
	"change_percent":   "the change since the previous close, in percent",
	"coverage":         "share of the options with a fresh packet, 0-1",
	"fingerprint":      "the first 8 hex digits of the token's SHA-256: the token itself is never shown",
	"generation":       "number of the token: it grows with each change of the value in the file, from 1 at the start of the server",
	"instrument_token": "number that Kite gives the instrument",
	"interval":         "length of the bar: 1m, 3m, 5m, 15m",
	"iv":               "implied volatility, a year: 0.12 is 12 percent",
	"last_price":       "price of the newest trade, in rupees",
	"max_pain":         "strike at which the options would pay out least, in rupees",
	"oi":               "open interest, in units; null: not known, or not in mode full",
	"pcr":              "ratio of the open interest: puts / calls",
	"put_oi":           "open interest of all puts, in units",
	"reason":           "what happened and what to do, in words",
	"source":           "whose prices the bar is made of: index, future",
	"straddle":         "last prices of call and put at the money together, in rupees",
	"strike":           "price at which the option may be exercised, in rupees",
	"tradingsymbol":    "name that the exchange gives the instrument, like NIFTY26DECFUT",
	"underlying":       "what the options and futures are on, like NIFTY",
}

// units are those that the end of a field's name tells, the longer ends first.
// Kite counts quantities in units, of which a lot has many.
var units = []struct{ suffix, unit string }{
	{"_per_second", "a second"},
	{"_seconds", "seconds"},
	{"_ms", "milliseconds"},
	{"_percent", "percent"},
	{"_bytes", "bytes"},
	{"_at", "RFC 3339, UTC"},
	{"oi_change", "units"},
	{"quantity", "units"},
	{"volume", "units"},
	{"oi", "units"},
	{"price", "rupees"},
	{"open", "rupees"},
	{"high", "rupees"},
	{"low", "rupees"},
	{"close", "rupees"},
	{"bid", "rupees"},
	{"ask", "rupees"},
	{"change", "rupees"},
}

// describeField is a field's comment, or what its name means everywhere, with
// its unit. A test refuses a field that has neither.
func describeField(owner reflect.Type, field, key string) string {
	text := cmp.Or(comments[typeName(owner)+"."+field], glossary[key])
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
		if strings.HasSuffix(key, u.suffix) {
			if !strings.Contains(text, u.unit) {
				text += " (" + u.unit + ")"
			}
			break
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
