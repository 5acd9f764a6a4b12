package simulator

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// instrumentsFile is the day's CSV of one exchange, plain and packed.
type instrumentsFile struct{ plain, packed []byte }

const instrumentsHeader = "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,instrument_type,segment,exchange\n"

// etag names the version of the file.
func (e *Exchange) etag() string {
	return fmt.Sprintf(`W/"%s-%d"`, e.book.day.Format("20060102"), e.book.version)
}

// serveInstruments is /instruments and /instruments/NSE. As with Kite, no
// token is asked for.
func (e *Exchange) serveInstruments(w http.ResponseWriter, r *http.Request) {
	if e.restFault(w, r) {
		e.refused("fault")
		return
	}
	if !e.limits.allow(classOther, time.Now()) {
		e.refused("rate_limit")
		writeError(w, &apiError{http.StatusTooManyRequests, networkException, "Too many requests"})
		return
	}
	e.mu.Lock()
	e.list(e.clock.Now())
	file, etag := e.file(strings.ToUpper(r.PathValue("exchange"))), e.etag()
	e.counts.requests["instruments"]++
	e.mu.Unlock()
	h := w.Header()
	h.Set("ETag", etag)
	h.Set("Vary", "Accept-Encoding")
	if r.Header.Get("If-None-Match") == etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", "text/csv") // exactly this: the JavaScript client compares
	body := file.plain
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		body = file.packed
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // the client went away
}

// file makes the CSV of an exchange, "" for all, once a day. Prices in it are
// those of the day before, as in Kite's.
func (e *Exchange) file(exchange string) *instrumentsFile {
	if f := e.book.files[exchange]; f != nil {
		return f
	}
	known := exchange == ""
	session := e.cal.session(e.cal.previous(e.book.day))
	var b bytes.Buffer
	b.WriteString(instrumentsHeader)
	for _, in := range e.book.list {
		if exchange != "" && in.Exchange != exchange {
			continue
		}
		known = true
		expiry := ""
		if !in.Expiry.IsZero() {
			expiry = in.Expiry.Format(time.DateOnly)
		}
		fmt.Fprintf(&b, "%d,%d,%s,%s,%v,%s,%v,%v,%d,%s,%s,%s\n",
			in.Token, in.Token>>8, in.Tradingsymbol, in.Name, rupees(e.prices.of(in, session, lastTrade)),
			expiry, in.Strike, in.TickSize, in.LotSize, in.Type, in.Segment, in.Exchange)
	}
	f := &instrumentsFile{plain: b.Bytes()}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write(f.plain) // into memory
	_ = z.Close()
	f.packed = packed.Bytes()
	if known { // an endless number of unknown exchanges must not be kept
		e.book.files[exchange] = f
	}
	return f
}
