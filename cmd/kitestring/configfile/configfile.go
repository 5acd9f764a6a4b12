// Package configfile reads the configuration file, which sets what flags cannot:
// JSON, read at the start and at each SIGHUP. Every field may be left out; what is
// there is checked, and an error names the line, the field and what is allowed.
// encoding/json alone gives neither the line of a wrong value nor the names that
// are allowed, and takes a repeated field without a word; no library of go.mod
// does better, so the values are read one by one.
package configfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"kitestring/actors/analysis"
	"kitestring/actors/bars"
	"kitestring/actors/instruments"
	"kitestring/cmd/kitestring/cli"
	"kitestring/messages"
	"kitestring/supervisor/tree"
)

const (
	maxConfigSize  = 1 << 20
	maxUnderlyings = 20 // each is some 85 instruments: all fit on one socket, with one to spare for a swap
	minMailbox     = 64
	maxMailbox     = 1_000_000
	maxInstruments = 9000 // Kite streams to one API key: three sockets of 3000
)

// Example is shown by --help: the defaults of the first underlying, one
// number of an analysis, an instrument that no analysis needs, an alert of each
// kind, and a table in place of the built-in one.
const Example = `  {
    "underlyings": [
      {"name": "NIFTY", "index_exchange": "NSE", "index_symbol": "NIFTY 50", "derivatives_exchange": "NFO"}
    ],
    "analysis": {"profile": "calibrated", "interval": "5m", "thresholds": {"pcr": {"bullish_from": 1.3}}},
    "mailbox": {"ticks": 8192},
    "feed": {"sockets": 3},
    "gateway": {"orders": false, "instruments": 5500},
    "peer": {"addr": "10.0.0.5:8440"},
    "record": {"orders": false, "days": 7, "gigabytes": 20},
    "bus": "off",
    "instruments": [{"instrument_token": 408065, "tradingsymbol": "INFY", "mode": "full"}],
    "alerts": [
      {"name": "outlook-up", "underlying": "NIFTY", "kind": "outlook", "signal": "bullish",
       "min_confidence": 60, "min_coverage": 0.8, "cooldown": "15m", "channels": ["ntfy"]},
      {"name": "pcr-high", "kind": "pcr", "value": "pcr", "above": 1.3},
      {"name": "max-pain", "kind": "pcr", "price_crosses": "max_pain"},
      {"name": "zone", "kind": "zone_control", "price_touches": "zone"}
    ],
    "holidays": "/etc/kitestring/holidays.txt"
  }`

// Read is what the file sets; without a file, nothing.
func Read(path string) (cfg tree.Reloadable, err error) {
	if path == "" {
		return cfg, nil
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return cfg, fmt.Errorf("--config %s: %w", path, cli.Cause(err))
	case !info.Mode().IsRegular():
		return cfg, fmt.Errorf("--config %s: it is not a file", path)
	case info.Size() > maxConfigSize:
		return cfg, fmt.Errorf("--config %s: it is larger than %d bytes", path, maxConfigSize)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return cfg, fmt.Errorf("--config %s: %w", path, cli.Cause(err))
	}
	err = parse(filepath.Base(path), text, &cfg)
	return cfg, err
}

func parse(name string, text []byte, cfg *tree.Reloadable) error {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	r := &reader{name: name, text: text, dec: json.NewDecoder(bytes.NewReader(text))}
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
		{"feed", func(path string) error {
			return r.object(path, fields{
				{"sockets", func(path string) (err error) {
					cfg.FeedSockets, err = r.whole(path, 1, tree.MostSockets)
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
		{"peer", func(path string) error {
			return r.object(path, fields{
				{"addr", r.nonEmpty(&cfg.PeerAddr, "like 10.0.0.5:8440", func(addr string) string {
					if tree.CheckPeerAddr(addr) != nil {
						return "it is an address to listen on, like 10.0.0.5:8440"
					}
					return ""
				})},
			})
		}},
		{"record", func(path string) error { return r.record(path, &cfg.Record) }},
		{"bus", func(path string) error { return r.bus(path, &cfg.Bus) }},
		{"instruments", func(path string) error { return r.instruments(path, &cfg.Instruments) }},
		{"alerts", func(path string) error { return r.alerts(path, &cfg.Alerts) }},
		{"holidays", r.nonEmpty(&cfg.HolidayFile, "like /etc/kitestring/holidays.txt", func(file string) string {
			if !filepath.IsAbs(file) {
				return "it is a whole path, like /etc/kitestring/holidays.txt"
			}
			return ""
		})},
	})
	if err != nil {
		return err
	}
	if err := r.checkAlerts(cfg); err != nil {
		return err
	}
	if _, err := r.dec.Token(); !errors.Is(err, io.EOF) {
		return r.errorf("something stands behind the closing bracket")
	}
	return nil
}

// underlyingName is what the instruments file calls the contracts of an
// underlying; it is also a part of addresses.
var underlyingName = regexp.MustCompile(`^[A-Z0-9&-]{1,24}$`)

func (r *reader) underlyings(path string, into *[]instruments.UnderlyingSpec) error {
	err := r.list(path, func(path string) error {
		var s instruments.UnderlyingSpec
		err := r.object(path, fields{
			{"name", r.nonEmpty(&s.Name, "like NIFTY", func(name string) string {
				if !underlyingName.MatchString(name) {
					return "it is 1 to 24 capital letters, digits, & and -, like NIFTY"
				}
				if slices.ContainsFunc(*into, func(o instruments.UnderlyingSpec) bool { return o.Name == name }) {
					return "it stands in the list already"
				}
				return ""
			})},
			{"index_exchange", r.oneOf(&s.IndexExchange, "NSE", "BSE")},
			{"index_symbol", r.nonEmpty(&s.IndexSymbol, "like NIFTY 50", func(symbol string) string {
				if symbol != strings.TrimSpace(symbol) || len(symbol) > 60 {
					return "it is the tradingsymbol of the index or the share, like NIFTY 50 or RELIANCE"
				}
				return ""
			})},
			{"derivatives_exchange", r.oneOf(&s.DerivativesExchange, "NFO", "BFO")},
		}, "name", "index_exchange", "index_symbol", "derivatives_exchange")
		*into = append(*into, s)
		return err
	})
	if n := len(*into); err == nil && (n == 0 || n > maxUnderlyings) {
		err = r.errorf("%s holds %d entries: it is 1 to %d; leave it out for NIFTY, BANKNIFTY and SENSEX", path, n, maxUnderlyings)
	}
	return err
}

// ErrClassicIsFixed says that profile classic takes no thresholds.
var ErrClassicIsFixed = errors.New("thresholds are for profile calibrated: classic reproduces the predecessor's fixed numbers")

func (r *reader) analysis(path string, cfg *tree.Reloadable) error {
	var profile, interval string
	err := r.object(path, fields{
		{"profile", r.oneOf(&profile, string(analysis.Calibrated), string(analysis.Classic))},
		{"interval", r.oneOf(&interval, "1m", "3m", "5m", "15m")},
		{"thresholds", func(path string) error { return r.thresholds(path, &cfg.Thresholds) }},
	})
	cfg.AnalysisProfile = analysis.Profile(profile)
	cfg.BarInterval, _ = bars.ParseInterval(interval)
	if err == nil && cfg.AnalysisProfile == analysis.Classic && len(cfg.Thresholds) > 0 {
		err = r.errorf("%s: %w", path, ErrClassicIsFixed)
	}
	return err
}

// thresholds reads the analyses' parameters. Which there are, and within which
// bounds, each analysis declares itself.
func (r *reader) thresholds(path string, into *analysis.Thresholds) error {
	all := analysis.Thresholds{}
	var kinds fields
	for _, a := range analysis.All() {
		kinds = append(kinds, field{a.Kind, func(path string) error {
			values := analysis.Settings{}
			all[a.Kind] = values
			var names fields
			for _, p := range a.Parameters {
				names = append(names, field{p.Name, func(path string) (err error) {
					values[p.Name], err = r.parameter(path, p)
					return err
				}})
			}
			if err := r.object(path, names); err != nil {
				return err
			}
			if err := a.Check(values); err != nil {
				return r.errorf("%s: %w", path, err)
			}
			return nil
		}})
	}
	*into = all
	return r.object(path, kinds)
}

func (r *reader) parameter(path string, p *analysis.Parameter) (float64, error) {
	v, err := r.token()
	if err != nil {
		return 0, err
	}
	if n, ok := v.(json.Number); ok {
		if f, err := n.Float64(); err == nil && p.Allows(f) {
			return f, nil
		}
	}
	what := "number"
	if p.Whole {
		what = "whole number"
	}
	return 0, r.errorf("%s %s: it is a %s from %g to %g (%s); left out, it is %g", path, shownValue(v), what, p.Least, p.Most, p.Unit, p.Default)
}

// instruments reads what is subscribed to besides what the analyses need. The
// tradingsymbol guards against an instrument token that was reused.
func (r *reader) instruments(path string, into *[]messages.Want) error {
	seen := map[uint32]bool{}
	err := r.list(path, func(path string) error {
		w, mode := messages.Want{}, "full"
		err := r.object(path, fields{
			{"instrument_token", func(path string) error {
				n, err := r.whole(path, 1, math.MaxUint32)
				w.InstrumentToken = uint32(n)
				if err == nil && seen[w.InstrumentToken] {
					return r.errorf("%s %d: it stands in the list already", path, n)
				}
				seen[w.InstrumentToken] = true
				return err
			}},
			{"tradingsymbol", r.nonEmpty(&w.Tradingsymbol, "like INFY", nil)},
			{"mode", r.oneOf(&mode, "ltp", "quote", "full")},
		}, "instrument_token")
		if err == nil {
			err = w.Mode.UnmarshalText([]byte(mode))
		}
		*into = append(*into, w)
		return err
	})
	if n := len(*into); err == nil && n > maxInstruments {
		err = r.errorf("%s holds %d entries: Kite streams at most %d", path, n, maxInstruments)
	}
	return err
}

// A reader reads JSON value by value, so that an error has its place.
type reader struct {
	name string
	text []byte
	dec  *json.Decoder
}

// fields are what an object may hold, and how each value is read.
type fields []field

type field struct {
	name string
	read func(path string) error
}

// object reads an object; it must have the fields that are named as needed.
func (r *reader) object(path string, allowed fields, needed ...string) error {
	if first, err := r.token(); err != nil {
		return err
	} else if first != json.Delim('{') {
		return r.errorf("%s: it is an object {...}", shownPath(path))
	}
	return r.members(path, allowed, needed...)
}

// members reads what is in an object that has begun.
func (r *reader) members(path string, allowed fields, needed ...string) error {
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
			return r.errorf("%s is repeated", inner)
		}
		seen[name] = true
		if err := allowed[i].read(inner); err != nil {
			return err
		}
	}
	if _, err := r.token(); err != nil {
		return err
	}
	for _, name := range needed {
		if !seen[name] {
			return r.errorf("%s.%s is missing", path, name)
		}
	}
	return nil
}

func (r *reader) list(path string, read func(path string) error) error {
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

// nonEmpty reads a text that is not empty; wrong (nil: all is allowed) gives what
// it should be in place of it, "" when it is right.
func (r *reader) nonEmpty(into *string, like string, wrong func(string) string) func(path string) error {
	return func(path string) error {
		v, err := r.token()
		if err != nil {
			return err
		}
		s, ok := v.(string)
		if !ok || s == "" {
			return r.errorf("%s %s: it is a text %s", path, shownValue(v), like)
		}
		if wrong != nil {
			if should := wrong(s); should != "" {
				return r.errorf("%s %q: %s", path, s, should)
			}
		}
		*into = s
		return nil
	}
}

func (r *reader) oneOf(into *string, allowed ...string) func(path string) error {
	return func(path string) error {
		v, err := r.token()
		if err != nil {
			return err
		}
		s, ok := v.(string)
		if !ok || !slices.Contains(allowed, s) {
			quoted := fmt.Sprintf("%q", allowed)
			list := strings.Split(quoted[1:len(quoted)-1], " ")
			last := len(list) - 1
			return r.errorf("%s %s: it is %s or %s", path, shownValue(v), strings.Join(list[:last], ", "), list[last])
		}
		*into = s
		return nil
	}
}

func (r *reader) whole(path string, least, most int) (int, error) {
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

// record reads "off", or how the recorder records.
func (r *reader) record(path string, into *tree.RecordConfig) error {
	switch first, err := r.token(); {
	case err != nil:
		return err
	case first == "off":
		into.Off = true
		return nil
	case first != json.Delim('{'):
		return r.errorf("%s %s: it is \"off\", or an object {...} with orders, days, gigabytes", path, shownValue(first))
	}
	return r.members(path, fields{
		{"orders", func(path string) (err error) {
			into.Orders, err = r.truth(path)
			return err
		}},
		{"days", func(path string) (err error) {
			into.Days, err = r.whole(path, 1, 3650)
			return err
		}},
		{"gigabytes", func(path string) (err error) {
			into.Gigabytes, err = r.whole(path, 1, 100_000)
			return err
		}},
	})
}

// bus reads "off", "embedded" or a URL, or an object with more.
func (r *reader) bus(path string, into *tree.BusConfig) error {
	switch first, err := r.token(); {
	case err != nil:
		return err
	case first != json.Delim('{'):
		text, _ := first.(string)
		return r.busURL(path, text, into)
	}
	file := func(into *string) func(path string) error {
		return r.nonEmpty(into, "like /etc/kitestring/nats.creds", func(file string) string {
			if !filepath.IsAbs(file) {
				return "it is a whole path, like /etc/kitestring/nats.creds"
			}
			return ""
		})
	}
	err := r.members(path, fields{
		{"url", func(path string) error {
			var url string
			if err := r.nonEmpty(&url, "like nats://10.1.2.3:4222", nil)(path); err != nil {
				return err
			}
			return r.busURL(path, url, into)
		}},
		{"listen", r.nonEmpty(&into.Listen, "like 127.0.0.1:4222", func(addr string) string {
			if err := cli.CheckLoopback("it", addr); err != nil {
				return "the embedded bus listens on loopback only, like 127.0.0.1:4222; other machines reach a NATS server of its own"
			}
			return ""
		})},
		{"server", r.nonEmpty(&into.Server, "like mumbai-1", func(name string) string {
			if !busServer.MatchString(name) {
				return "it is 1 to 64 letters, digits, dots, - and _, like mumbai-1"
			}
			return ""
		})},
		{"shared", func(path string) (err error) {
			into.Shared, err = r.truth(path)
			return err
		}},
		{"ticks", func(path string) error { return r.busTicks(path, into) }},
		{"credentials", file(&into.Credentials)},
		{"ca", file(&into.CA)},
		{"certificate", file(&into.Certificate)},
		{"key", file(&into.Key)},
	}, "url")
	if err == nil {
		if err = CheckBusParts(*into); err != nil {
			err = r.errorf("%w", err)
		}
	}
	return err
}

// CheckBusParts says what of a bus does not go together.
func CheckBusParts(c tree.BusConfig) error {
	switch embedded := c.URL == tree.BusEmbedded; {
	case !embedded && c.URL != "" && c.Listen != "":
		return errors.New(`bus.listen is for "embedded": leave it out`)
	case embedded && c.Shared:
		return errors.New("bus.shared: the embedded bus has one server; give two of them the url of a NATS server of its own")
	case embedded && c.Credentials+c.CA+c.Certificate+c.Key != "":
		return errors.New("the embedded bus asks for no credentials: leave out bus.credentials, bus.ca, bus.certificate and bus.key")
	case c.Key != "" && c.Certificate == "":
		return errors.New("bus.key is for a certificate: name that, too")
	}
	return nil
}

var busServer = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

func (r *reader) busURL(path, text string, into *tree.BusConfig) error {
	if err := CheckBus(text); err != nil {
		return r.errorf("%s %w", path, err)
	}
	if text != "off" {
		into.URL = text
	}
	return nil
}

// CheckBus is for the configuration and for --bus.
func CheckBus(text string) error {
	if text == "off" || text == tree.BusEmbedded {
		return nil
	}
	for one := range strings.SplitSeq(text, ",") {
		u, err := url.Parse(one)
		switch {
		case err == nil && u.User != nil: // without the text: it holds a secret
			return errors.New("holds a password: put it into a file, and name that in bus.credentials")
		case err != nil || u.Scheme != "nats" && u.Scheme != "tls" || u.Hostname() == "" || u.Path != "" || u.RawQuery != "":
			return fmt.Errorf("%q: it is off, embedded, or the URL of a NATS server like nats://10.1.2.3:4222 (tls:// for TLS)", text)
		}
	}
	return nil
}

// busTicks reads "all" or a list of instrument tokens.
func (r *reader) busTicks(path string, into *tree.BusConfig) error {
	switch first, err := r.token(); {
	case err != nil:
		return err
	case first == "all":
		into.All = true
		return nil
	case first != json.Delim('['):
		return r.errorf("%s %s: it is \"all\" or a list of instrument tokens", path, shownValue(first))
	}
	for i := 0; r.dec.More(); i++ {
		n, err := r.whole(fmt.Sprintf("%s[%d]", path, i), 1, math.MaxUint32)
		if err != nil {
			return err
		}
		into.Ticks = append(into.Ticks, uint32(n))
	}
	_, err := r.token()
	return err
}

// truth reads true or false.
func (r *reader) truth(path string) (bool, error) {
	v, err := r.token()
	if err != nil {
		return false, err
	}
	if b, ok := v.(bool); ok {
		return b, nil
	}
	return false, r.errorf("%s %s: it is true or false", path, shownValue(v))
}

func (r *reader) token() (json.Token, error) {
	v, err := r.dec.Token()
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, r.errorf("the file ends too early")
	case err != nil:
		return nil, r.errorf("not JSON: %w", err)
	}
	return v, nil
}

// errorf names the line of the value that was read last, or that could not be.
func (r *reader) errorf(format string, args ...any) error {
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
