package instruments

import (
	"bufio"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"kitestring/actors/hours"
	"kitestring/messages"
	"kitestring/messages/ist"
)

const (
	// mostFile bounds the file, inflated: the real one has 10 MB.
	mostFile = 64 << 20
	// mostExchanges bounds what is counted of a file that is none.
	mostExchanges = 50
	future        = "FUT"
	call          = "CE"
	put           = "PE"
)

// table is what one instruments file holds of the underlyings. It is immutable
// once it is in use.
type table struct {
	day         time.Time // see fileDay
	generation  messages.Generation
	rows        int            // of any kind
	exchanges   map[string]int // rows of each exchange
	broken      int            // rows that are not a row of the file
	firstBroken string         // which one, in words
	unreadable  int            // rows of an underlying that were skipped
	contested   int            // rows of an underlying whose instrument token another of them has
	cut         bool           // the last row has no end
	contracts   []contracts
	recycled    []recycled
	configured  map[uint32]messages.Instrument // the configuration's instruments, as far as they are listed
	asked       []messages.Want                // the configuration's instruments that it was read for
	gaps        []string                       // what is missing of it, in words; none: it is whole
}

// contracts is the part of one underlying.
type contracts struct {
	index   messages.Instrument   // or the share, for options on one; Token 0: not in the file
	futures []messages.Instrument // by expiry
	options []messages.Instrument // by expiry, strike, type
}

// recycled is an instrument token that means another symbol than before.
type recycled struct {
	instrumentToken uint32
	was, is         string
}

// columns that we need; the order in the file does not matter.
var columns = [...]string{
	"instrument_token", "tradingsymbol", "name", "expiry", "strike", "tick_size", "lot_size", "instrument_type", "segment", "exchange",
}

const (
	colToken = iota
	colSymbol
	colName
	colExpiry
	colStrike
	colTickSize
	colLotSize
	colType
	colSegment
	colExchange
)

// reader takes the rows of the file one by one.
type reader struct {
	specs []UnderlyingSpec
	known map[uint32]string // instrument token -> tradingsymbol, as subscribed until now
	at    [len(columns)]int // where each column stands
	owner map[uint32]string // of the rows that are kept
	table *table

	configured map[uint32]bool // instrument tokens of the configuration
	fields     []string        // of the row that is read
}

// readFile streams an instruments file. It keeps the rows of the specs only:
// the memory does not depend on the file's length. A row that cannot be read
// costs that row. A file without any row of a spec is an error: it is not the
// file that we know.
func readFile(file io.Reader, specs []UnderlyingSpec, known map[uint32]string, configured map[uint32]bool) (*table, error) {
	lines := bufio.NewReaderSize(io.LimitReader(file, mostFile), 64<<10)
	r := &reader{specs: specs, known: known, configured: configured, owner: map[uint32]string{}, table: &table{
		contracts: make([]contracts, len(specs)), exchanges: map[string]int{}, configured: map[uint32]messages.Instrument{},
	}}
	for number := 1; ; number++ {
		line, err := lines.ReadSlice('\n')
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
			return nil, fmt.Errorf("read the instruments file after %d rows: %w", r.table.rows, err)
		}
		if errors.Is(err, io.EOF) && len(line) == 0 {
			break
		}
		r.table.cut = errors.Is(err, io.EOF)
		if text := strings.TrimRight(string(line), "\r\n"); text != "" {
			if err := r.line(number, text); err != nil {
				return nil, err
			}
		}
	}
	if r.fields == nil {
		return nil, errors.New("the instruments file is empty")
	}
	if len(r.owner) == 0 {
		return nil, fmt.Errorf("none of the %d rows of the instruments file belongs to an underlying", r.table.rows)
	}
	for i := range r.table.contracts {
		r.table.contracts[i].sort()
	}
	return r.table, nil
}

func (c *contracts) sort() {
	slices.SortStableFunc(c.futures, byExpiry)
	slices.SortStableFunc(c.options, func(a, b messages.Instrument) int {
		return cmp.Or(byExpiry(a, b), cmp.Compare(a.Strike, b.Strike), cmp.Compare(a.Type, b.Type))
	})
}

// line reads one row, the first of which is the header. Each is read by itself,
// so that a quote without an end costs its row, not the rest of the file.
func (r *reader) line(number int, text string) error {
	if r.fields == nil {
		r.fields = split(nil, text)
		return r.header(r.fields)
	}
	r.table.rows++
	columns := len(r.fields)
	fields := split(r.fields[:0], text)
	if strings.Contains(text, `"`) {
		rows := csv.NewReader(strings.NewReader(text))
		rows.FieldsPerRecord = -1
		if quoted, err := rows.Read(); err == nil && len(quoted) == columns {
			fields = quoted
		}
	}
	if len(fields) != columns {
		if r.table.broken++; r.table.broken == 1 {
			r.table.firstBroken = fmt.Sprintf("line %d has %d columns in place of %d", number, len(fields), columns)
		}
		r.fields = r.fields[:columns]
		return nil
	}
	r.fields = fields
	r.row(fields)
	return nil
}

// split cuts at every comma; quotes at either end of a field go.
func split(into []string, text string) []string {
	for field := range strings.SplitSeq(text, ",") {
		into = append(into, strings.Trim(field, `"`))
	}
	return into
}

// checkSize refuses a file that has shrunk to less than half of the one before
// (nil: none): the exchange's contracts do not go so fast, half a file does.
func (t *table) checkSize(before *table) error {
	if before != nil && t.rows < before.rows/2 {
		return fmt.Errorf("the instruments file has only %d rows, the one before had %d", t.rows, before.rows)
	}
	return nil
}

// complete notes what the file lacks, and takes over from the one before (nil:
// none) the contracts of an underlying that it has none of.
func (t *table) complete(specs []UnderlyingSpec, before *table, now time.Time, hours *hours.Table) {
	if t.cut {
		t.gaps = append(t.gaps, "its last row has no end")
	}
	if before != nil {
		for _, exchange := range slices.Sorted(maps.Keys(before.exchanges)) {
			if was, is := before.exchanges[exchange], t.exchanges[exchange]; is < was/2 {
				t.gaps = append(t.gaps, fmt.Sprintf("it has %d rows of %s, the one before had %d", is, exchange, was))
				t.exchanges[exchange] = was // the next one is compared with a whole one
			}
		}
	}
	another := map[uint32]bool{}
	for _, r := range t.recycled {
		another[r.instrumentToken] = true
	}
	kept := func(list []messages.Instrument) []messages.Instrument {
		return slices.DeleteFunc(slices.Clone(list), func(in messages.Instrument) bool { return another[in.Token] })
	}
	for i := range specs {
		c := &t.contracts[i]
		var old contracts
		if before != nil {
			old = before.contracts[i]
		}
		var lacks []string
		if c.index.Token == 0 {
			lacks = append(lacks, "no "+specs[i].IndexExchange+":"+specs[i].IndexSymbol)
			if !another[old.index.Token] {
				c.index = old.index
			}
		}
		if len(live(c.futures, now, hours)) == 0 {
			lacks = append(lacks, "no future")
			c.futures = append(c.futures, live(kept(old.futures), now, hours)...)
		}
		if len(live(c.options, now, hours)) == 0 {
			lacks = append(lacks, "no option")
			c.options = append(c.options, live(kept(old.options), now, hours)...)
		}
		c.sort()
		if lacks != nil {
			t.gaps = append(t.gaps, fmt.Sprintf("%s has %s", specs[i].Name, strings.Join(lacks, ", ")))
		}
	}
}

// symbols are the tradingsymbols of a table's contracts; nil has none.
func (t *table) symbols() map[uint32]string {
	symbols := map[uint32]string{}
	if t == nil {
		return symbols
	}
	for _, c := range t.contracts {
		for _, in := range slices.Concat([]messages.Instrument{c.index}, c.futures, c.options) {
			symbols[in.Token] = in.Tradingsymbol
		}
	}
	return symbols
}

func byExpiry(a, b messages.Instrument) int { return a.Expiry.Compare(b.Expiry) }

func (r *reader) header(head []string) error {
	var missing []string
	for i, name := range columns {
		r.at[i] = slices.IndexFunc(head, func(h string) bool {
			return strings.TrimSpace(strings.TrimPrefix(h, "\ufeff")) == name
		})
		if r.at[i] < 0 {
			missing = append(missing, name)
		}
	}
	if missing != nil {
		return fmt.Errorf("the instruments file lacks the columns %s", strings.Join(missing, ", "))
	}
	return nil
}

func (r *reader) row(row []string) {
	var f [len(columns)]string
	for i, at := range r.at {
		if at < len(row) {
			f[i] = row[at]
		}
	}
	if _, known := r.table.exchanges[f[colExchange]]; known || len(r.table.exchanges) < mostExchanges {
		r.table.exchanges[f[colExchange]]++
	}
	if len(r.known) > 0 || len(r.configured) > 0 {
		r.compare(&f)
	}
	for i := range r.specs {
		s := &r.specs[i]
		c := &r.table.contracts[i]
		switch {
		case f[colSegment] == "INDICES" || f[colSegment] == f[colExchange]: // an index, or a share
			if f[colExchange] == s.IndexExchange && f[colSymbol] == s.IndexSymbol && c.index.Segment != "INDICES" {
				if in, ok := r.instrument(&f, false); ok {
					c.index = in
				}
			}
		case f[colExchange] != s.DerivativesExchange || f[colName] != s.Name:
		case f[colType] == future:
			if in, ok := r.instrument(&f, true); ok {
				c.futures = append(c.futures, in)
			}
		case f[colType] == call || f[colType] == put:
			if in, ok := r.instrument(&f, true); ok {
				c.options = append(c.options, in)
			}
		}
	}
}

// compare notes an instrument token that was known under another symbol, and
// what the tokens of the configuration mean.
func (r *reader) compare(f *[len(columns)]string) {
	n, err := strconv.ParseUint(f[colToken], 10, 32)
	if err != nil {
		return
	}
	if r.configured[uint32(n)] {
		in, err := parseInstrument(f, f[colExpiry] != "")
		if err != nil { // what else stands in the row is for display only
			in = messages.Instrument{Token: uint32(n), Exchange: strings.Clone(f[colExchange]), Tradingsymbol: strings.Clone(f[colSymbol])}
		}
		r.table.configured[uint32(n)] = in
	}
	if was, ok := r.known[uint32(n)]; ok && was != f[colSymbol] {
		r.table.recycled = append(r.table.recycled, recycled{uint32(n), was, strings.Clone(f[colSymbol])})
	}
}

// instrument reads a row of an underlying; false when it must not be used.
func (r *reader) instrument(f *[len(columns)]string, derivative bool) (messages.Instrument, bool) {
	in, err := parseInstrument(f, derivative)
	if err != nil {
		r.table.unreadable++
		return in, false
	}
	if owner, taken := r.owner[in.Token]; taken && owner != in.Tradingsymbol {
		r.table.contested++
		return in, false
	}
	r.owner[in.Token] = in.Tradingsymbol
	return in, true
}

func parseInstrument(f *[len(columns)]string, derivative bool) (messages.Instrument, error) {
	instrumentToken, err := strconv.ParseUint(f[colToken], 10, 32)
	if err != nil {
		return messages.Instrument{}, err
	}
	// The row's strings share the memory of the whole row: copies live longer.
	in := messages.Instrument{
		Token:         uint32(instrumentToken),
		Exchange:      strings.Clone(f[colExchange]),
		Tradingsymbol: strings.Clone(f[colSymbol]),
		Name:          strings.Clone(f[colName]),
		Type:          strings.Clone(f[colType]),
		Segment:       strings.Clone(f[colSegment]),
	}
	if in.Token == 0 || in.Tradingsymbol == "" {
		return in, errors.New("no instrument token or no tradingsymbol")
	}
	in.TickSize, _ = strconv.ParseFloat(f[colTickSize], 64) // for display only
	if !derivative {
		return in, nil
	}
	if in.Expiry, err = time.ParseInLocation(time.DateOnly, f[colExpiry], ist.Zone); err != nil {
		return in, err
	}
	if in.LotSize, err = strconv.Atoi(f[colLotSize]); err != nil {
		return in, err
	}
	if in.Type == future {
		return in, nil
	}
	in.Strike, err = strconv.ParseFloat(f[colStrike], 64)
	if err == nil && !(in.Strike > 0 && !math.IsInf(in.Strike, 0)) {
		err = errors.New("no strike")
	}
	return in, err
}
