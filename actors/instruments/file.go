package instruments

import (
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"kitestring/messages"
	"kitestring/messages/ist"
)

const (
	// mostFile bounds the file, inflated: the real one has 10 MB.
	mostFile = 64 << 20
	future   = "FUT"
	call     = "CE"
	put      = "PE"
)

// table is what one instruments file says of our underlyings. It is immutable
// once read.
type table struct {
	day        time.Time // see fileDay
	generation messages.Generation
	rows       int // of any kind
	unreadable int // rows of ours that were skipped
	contested  int // rows of ours whose instrument token another of them has
	contracts  []contracts
	recycled   []recycled
}

// contracts is the part of one underlying.
type contracts struct {
	index   messages.Instrument   // Token 0: not in the file
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
	owner map[uint32]string // of ours in this file
	table *table
}

// readFile streams an instruments file. It keeps the rows of the specs only:
// the memory does not depend on the file's length. A file without any row of
// ours is an error: it is not the file that we know.
func readFile(file io.Reader, specs []UnderlyingSpec, known map[uint32]string) (*table, error) {
	rows := csv.NewReader(io.LimitReader(file, mostFile))
	rows.ReuseRecord = true
	rows.FieldsPerRecord = -1
	rows.LazyQuotes = true
	r := &reader{specs: specs, known: known, owner: map[uint32]string{}, table: &table{contracts: make([]contracts, len(specs))}}
	head, err := rows.Read()
	if err != nil {
		return nil, fmt.Errorf("read the header of the instruments file: %w", err)
	}
	if err := r.header(head); err != nil {
		return nil, err
	}
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read the instruments file after %d rows: %w", r.table.rows, err)
		}
		r.table.rows++
		r.row(row)
	}
	if len(r.owner) == 0 {
		return nil, fmt.Errorf("none of the %d rows of the instruments file belongs to an underlying", r.table.rows)
	}
	for i := range r.table.contracts {
		c := &r.table.contracts[i]
		slices.SortStableFunc(c.futures, byExpiry)
		slices.SortStableFunc(c.options, func(a, b messages.Instrument) int {
			return cmp.Or(byExpiry(a, b), cmp.Compare(a.Strike, b.Strike), cmp.Compare(a.Type, b.Type))
		})
	}
	return r.table, nil
}

// checkSize refuses a file that has shrunk to less than half of the one before
// (nil: none): the exchange's contracts do not go so fast, half a file does.
func (t *table) checkSize(before *table) error {
	if before != nil && t.rows < before.rows/2 {
		return fmt.Errorf("the instruments file has only %d rows, the one before had %d", t.rows, before.rows)
	}
	return nil
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
	if len(r.known) > 0 {
		r.compare(&f)
	}
	for i := range r.specs {
		s := &r.specs[i]
		c := &r.table.contracts[i]
		switch {
		case f[colSegment] == "INDICES":
			if f[colExchange] == s.IndexExchange && f[colSymbol] == s.IndexSymbol {
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

// compare notes an instrument token that is subscribed under another symbol.
func (r *reader) compare(f *[len(columns)]string) {
	n, err := strconv.ParseUint(f[colToken], 10, 32)
	if err != nil {
		return
	}
	if was, ok := r.known[uint32(n)]; ok && was != f[colSymbol] {
		r.table.recycled = append(r.table.recycled, recycled{uint32(n), was, strings.Clone(f[colSymbol])})
	}
}

// instrument reads one row of ours; false when it must not be used.
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
