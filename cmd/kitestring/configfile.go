package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"kitestring/actors/instruments"
	"kitestring/supervisor/tree"
)

// The configuration file says what a person may choose beyond flags: JSON,
// read at the start and at each SIGHUP. Every field may be left out; what is
// there is checked, and an error names the line, the field and what is allowed.

const (
	maxConfigSize  = 1 << 20
	maxUnderlyings = 20 // each is some 85 instruments: all fit on one socket, with one to spare for a swap
	minMailbox     = 64
	maxMailbox     = 1_000_000
)

// configExample is shown by --help: the defaults of the first underlying, one
// number of an analysis, an instrument that no analysis needs, and a table in
// place of the built-in one.
const configExample = `  {
    "underlyings": [
      {"name": "NIFTY", "index_exchange": "NSE", "index_symbol": "NIFTY 50", "derivatives_exchange": "NFO"}
    ],
    "analysis": {"profile": "calibrated", "interval": "5m", "thresholds": {"pcr": {"bullish_from": 1.3}}},
    "mailbox": {"ticks": 8192},
    "gateway": {"orders": false, "instruments": 5500},
    "instruments": [{"instrument_token": 408065, "tradingsymbol": "INFY", "mode": "full"}],
    "holidays": "/etc/kitestring/holidays.txt"
  }`

// readConfigFile is what the file chooses; without a file, nothing.
func readConfigFile(path string) (cfg tree.Reloadable, err error) {
	if path == "" {
		return cfg, nil
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return cfg, fmt.Errorf("--config %s: %w", path, cause(err))
	case !info.Mode().IsRegular():
		return cfg, fmt.Errorf("--config %s: it is not a file", path)
	case info.Size() > maxConfigSize:
		return cfg, fmt.Errorf("--config %s: it is larger than %d bytes", path, maxConfigSize)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return cfg, fmt.Errorf("--config %s: %w", path, cause(err))
	}
	err = parseConfig(filepath.Base(path), text, &cfg)
	return cfg, err
}

func parseConfig(name string, text []byte, cfg *tree.Reloadable) error {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	r := &configReader{name: name, text: text, dec: json.NewDecoder(bytes.NewReader(text))}
	r.dec.UseNumber()
	err := r.object("", fields{
		{"underlyings", func(path string) error { return r.underlyings(path, &cfg.Underlyings) }},
		{"analysis", func(path string) error { return r.analysis(path, cfg) }},
		{"mailbox", func(path string) error {
			return r.object(path, fields{
				{"ticks", func(path string) (err error) {
					cfg.MailboxTicks, err = r.whole(path, minMailbox, maxMailbox)
					return err
				}},
			})
		}},
		{"gateway", func(path string) error {
			return r.object(path, fields{
				{"orders", func(path string) (err error) {
					cfg.GatewayOrders, err = r.truth(path)
					return err
				}},
				{"instruments", func(path string) (err error) {
					cfg.GatewayInstruments, err = r.whole(path, 1, tree.MostGatewayInstruments)
					return err
				}},
			})
		}},
		{"instruments", func(path string) error { return r.instruments(path, &cfg.Instruments) }},
		{"holidays", func(path string) (err error) {
			if cfg.HolidayFile, err = r.nonEmpty(path, "like /etc/kitestring/holidays.txt"); err == nil && !filepath.IsAbs(cfg.HolidayFile) {
				return r.errorf("%s %q: it is a whole path, like /etc/kitestring/holidays.txt", path, cfg.HolidayFile)
			}
			return err
		}},
	})
	if err != nil {
		return err
	}
	if _, err := r.dec.Token(); !errors.Is(err, io.EOF) {
		return r.errorf("something stands behind the closing bracket")
	}
	return nil
}

// underlyingName is what the instruments file calls the contracts of an index;
// it is also a part of addresses.
var underlyingName = regexp.MustCompile(`^[A-Z0-9&-]{1,24}$`)

func (r *configReader) underlyings(path string, into *[]instruments.UnderlyingSpec) error {
	var specs []instruments.UnderlyingSpec
	err := r.list(path, func(path string) error {
		var s instruments.UnderlyingSpec
		err := r.object(path, fields{
			{"name", func(path string) (err error) {
				if s.Name, err = r.nonEmpty(path, "like NIFTY"); err == nil && !underlyingName.MatchString(s.Name) {
					return r.errorf("%s %q: it is 1 to 24 capital letters, digits, & and -, like NIFTY", path, s.Name)
				}
				if slices.ContainsFunc(specs, func(o instruments.UnderlyingSpec) bool { return o.Name == s.Name }) {
					return r.errorf("%s %q: it stands in the list already", path, s.Name)
				}
				return err
			}},
			{"index_exchange", func(path string) (err error) {
				s.IndexExchange, err = r.oneOf(path, "NSE", "BSE")
				return err
			}},
			{"index_symbol", func(path string) (err error) {
				if s.IndexSymbol, err = r.nonEmpty(path, "like NIFTY 50"); err == nil && (s.IndexSymbol != strings.TrimSpace(s.IndexSymbol) || len(s.IndexSymbol) > 60) {
					return r.errorf("%s %q: it is the index's tradingsymbol, like NIFTY 50", path, s.IndexSymbol)
				}
				return err
			}},
			{"derivatives_exchange", func(path string) (err error) {
				s.DerivativesExchange, err = r.oneOf(path, "NFO", "BFO")
				return err
			}},
		})
		if err != nil {
			return err
		}
		for _, f := range [][2]string{
			{"name", s.Name}, {"index_exchange", s.IndexExchange}, {"index_symbol", s.IndexSymbol}, {"derivatives_exchange", s.DerivativesExchange},
		} {
			if f[1] == "" {
				return r.errorf("%s.%s is missing", path, f[0])
			}
		}
		specs = append(specs, s)
		return nil
	})
	if err == nil && (len(specs) == 0 || len(specs) > maxUnderlyings) {
		err = r.errorf("%s holds %d entries: it is 1 to %d; leave it out for NIFTY, BANKNIFTY and SENSEX", path, len(specs), maxUnderlyings)
	}
	*into = specs
	return err
}

// configReader reads JSON value by value, so that it can say where what is
// wrong.
type configReader struct {
	name string
	text []byte
	dec  *json.Decoder
}

// fields are what an object may hold, and who reads each value.
type fields []field

type field struct {
	name string
	read func(path string) error
}

func (r *configReader) object(path string, allowed fields) error {
	if first, err := r.token(); err != nil {
		return err
	} else if first != json.Delim('{') {
		return r.errorf("%s: it is an object {...}", shownPath(path))
	}
	names := make([]string, len(allowed))
	for i, f := range allowed {
		names[i] = f.name
	}
	seen := map[string]bool{}
	for r.dec.More() {
		key, err := r.token()
		if err != nil {
			return err
		}
		name, _ := key.(string)
		inner := strings.TrimPrefix(path+"."+name, ".")
		i := slices.Index(names, name)
		switch {
		case i < 0:
			return r.errorf("%s is not known here: allowed are %s", inner, strings.Join(names, ", "))
		case seen[name]:
			return r.errorf("%s stands there twice", inner)
		}
		seen[name] = true
		if err := allowed[i].read(inner); err != nil {
			return err
		}
	}
	_, err := r.token()
	return err
}

func (r *configReader) list(path string, read func(path string) error) error {
	if first, err := r.token(); err != nil {
		return err
	} else if first != json.Delim('[') {
		return r.errorf("%s: it is a list [...]", path)
	}
	for i := 0; r.dec.More(); i++ {
		if err := read(fmt.Sprintf("%s[%d]", path, i)); err != nil {
			return err
		}
	}
	_, err := r.token()
	return err
}

// nonEmpty reads a text that is not empty.
func (r *configReader) nonEmpty(path, like string) (string, error) {
	v, err := r.token()
	if err != nil {
		return "", err
	}
	if s, ok := v.(string); ok && s != "" {
		return s, nil
	}
	return "", r.errorf("%s %s: it is a text %s", path, shownValue(v), like)
}

func (r *configReader) oneOf(path string, allowed ...string) (string, error) {
	v, err := r.token()
	if err != nil {
		return "", err
	}
	if s, ok := v.(string); ok && slices.Contains(allowed, s) {
		return s, nil
	}
	last := len(allowed) - 1
	return "", r.errorf("%s %s: it is %s or %s", path, shownValue(v), strings.Join(quoted(allowed[:last]), ", "), quoted(allowed[last:])[0])
}

func (r *configReader) whole(path string, least, most int) (int, error) {
	v, err := r.token()
	if err != nil {
		return 0, err
	}
	if n, ok := v.(json.Number); ok {
		if i, err := n.Int64(); err == nil && i >= int64(least) && i <= int64(most) {
			return int(i), nil
		}
	}
	return 0, r.errorf("%s %s: it is a whole number from %d to %d", path, shownValue(v), least, most)
}

// truth reads true or false.
func (r *configReader) truth(path string) (bool, error) {
	v, err := r.token()
	if err != nil {
		return false, err
	}
	if b, ok := v.(bool); ok {
		return b, nil
	}
	return false, r.errorf("%s %s: it is true or false", path, shownValue(v))
}

func (r *configReader) token() (json.Token, error) {
	v, err := r.dec.Token()
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, r.errorf("the file ends too early")
	case err != nil:
		return nil, r.errorf("not JSON: %w", err)
	}
	return v, nil
}

// errorf tells the line of the value that was read last, or that could not be.
func (r *configReader) errorf(format string, args ...any) error {
	at := min(int(r.dec.InputOffset()), len(r.text))
	line := 1 + bytes.Count(r.text[:at], []byte("\n"))
	return fmt.Errorf("%s: line %d: %w", r.name, line, fmt.Errorf(format, args...))
}

func shownPath(path string) string {
	if path == "" {
		return "the file"
	}
	return path
}

func shownValue(v json.Token) string {
	switch v := v.(type) {
	case json.Delim:
		return "is a list or an object"
	case string:
		if len(v) > 40 {
			v = v[:40] + "..."
		}
		return fmt.Sprintf("%q", v)
	case nil:
		return "null"
	}
	return fmt.Sprint(v)
}

func quoted(list []string) []string {
	q := make([]string, len(list))
	for i, s := range list {
		q[i] = fmt.Sprintf("%q", s)
	}
	return q
}
