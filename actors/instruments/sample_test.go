package instruments

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"kitestring/messages/ist"
)

const head = "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,instrument_type,segment,exchange\n"

// sample writes an instruments file row by row.
type sample struct {
	strings.Builder
	tokens uint32 // last exchange token given
}

func newSample() *sample {
	s := &sample{}
	s.WriteString(head)
	return s
}

func (s *sample) row(instrumentToken uint32, symbol, name, expiry string, strike float64, lot int, kind, segment, exchange string) *sample {
	fmt.Fprintf(s, "%d,%d,%s,%s,0.0,%s,%v,0.05,%d,%s,%s,%s\n", instrumentToken, instrumentToken>>8, symbol, name, expiry, strike, lot, kind, segment, exchange)
	return s
}

func (s *sample) index(instrumentToken uint32, exchange, symbol string) *sample {
	return s.row(instrumentToken, symbol, symbol, "", 0, 1, "EQ", "INDICES", exchange)
}

// indices adds the three default ones.
func (s *sample) indices() *sample {
	return s.index(256265, "NSE", "NIFTY 50").index(260105, "NSE", "NIFTY BANK").index(265, "BSE", "SENSEX")
}

// derivative gives the next instrument token; the symbol is made of name and
// expiry, for it is never parsed.
func (s *sample) derivative(exchange, name, expiry string, strike float64, kind string) *sample {
	s.tokens++
	segment, suffix := uint32(2), "-OPT"
	if exchange == "BFO" {
		segment = 5
	}
	if kind == future {
		suffix = "-FUT"
	}
	symbol := fmt.Sprintf("%s%s%s", name, strings.ReplaceAll(expiry, "-", ""), kind)
	if strike > 0 {
		symbol = fmt.Sprintf("%s%s%v%s", name, strings.ReplaceAll(expiry, "-", ""), strike, kind)
	}
	return s.row(s.tokens<<8|segment, symbol, name, expiry, strike, 65, kind, exchange+suffix, exchange)
}

func (s *sample) futures(exchange, name string, expiries ...string) *sample {
	for _, e := range expiries {
		s.derivative(exchange, name, e, 0, future)
	}
	return s
}

// chain adds n strikes on either side of the middle.
func (s *sample) chain(exchange, name, expiry string, middle, step float64, n int) *sample {
	for i := -n; i <= n; i++ {
		strike := middle + float64(i)*step
		s.derivative(exchange, name, expiry, strike, call).derivative(exchange, name, expiry, strike, put)
	}
	return s
}

// march is the file as it stands at the beginning of March 2026: NIFTY's
// Tuesdays 3 (Holi) and 31 (Mahavir Jayanti) are holidays, so those contracts
// end on the Monday before.
func march() *sample {
	return newSample().indices().
		futures("NFO", "NIFTY", "2026-04-28", "2026-03-30", "2026-05-26").
		chain("NFO", "NIFTY", "2026-03-10", 25000, 50, 60).
		chain("NFO", "NIFTY", "2026-03-02", 25000, 50, 60).
		futures("NFO", "BANKNIFTY", "2026-03-30", "2026-04-28").
		chain("NFO", "BANKNIFTY", "2026-03-30", 60000, 100, 60).
		futures("BFO", "SENSEX", "2026-03-25", "2026-04-30"). // the 26th is Ram Navami
		chain("BFO", "SENSEX", "2026-03-05", 82000, 100, 60).
		row(738561, "RELIANCE", "RELIANCE INDUSTRIES", "", 0, 1, "EQ", "NSE", "NSE")
}

func (s *sample) read(t testing.TB, specs []UnderlyingSpec) *table {
	t.Helper()
	got, err := readFile(strings.NewReader(s.String()), specs, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func zipped(text string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = io.WriteString(z, text) // memory does not fail
	_ = z.Close()
	return b.Bytes()
}

// at reads a time in IST.
func at(t testing.TB, text string) time.Time {
	t.Helper()
	v, err := time.ParseInLocation(ist.Layout, text, ist.Zone)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
