package tape

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"github.com/klauspost/compress/zstd"

	"kitestring/messages"
	"kitestring/messages/ist"
)

// mostInstruments bounds the instruments file, inflated: Kite's has 10 MB.
const mostInstruments = 64 << 20

// WriteInstruments keeps a day's instruments file beside its segments: Kite's
// CSV, as it came. Instrument tokens are given to other instruments after an
// expiry, so a day is read with the file of that day.
func (d *Directory) WriteInstruments(date string, file []byte) error {
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	defer z.Close()
	if err := os.MkdirAll(d.folder(date), 0o700); err != nil {
		return err
	}
	return renameio.WriteFile(filepath.Join(d.folder(date), instruments), z.EncodeAll(file, nil), 0o600, renameio.IgnoreUmask())
}

// InstrumentsFile opens a day's instruments file; fs.ErrNotExist: there is none.
func (d *Directory) InstrumentsFile(date string) (io.ReadCloser, error) {
	f, err := os.Open(filepath.Join(d.folder(date), instruments))
	if err != nil {
		return nil, err
	}
	z, err := zstd.NewReader(f, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(mostInstruments))
	if err != nil {
		f.Close()
		return nil, err
	}
	return inflated{io.LimitReader(z, mostInstruments), z, f}, nil
}

type inflated struct {
	io.Reader
	z *zstd.Decoder
	f *os.File
}

// Close implements io.Closer.
func (i inflated) Close() error {
	i.z.Close()
	return i.f.Close()
}

// Instruments are the rows of a day's instruments file. A row that cannot be
// read is passed over.
func (d *Directory) Instruments(date string) (map[uint32]messages.Instrument, error) {
	f, err := d.InstrumentsFile(date)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<16)
	var head []string
	all := map[uint32]messages.Instrument{}
	for lines.Scan() {
		// Line by line: a quote without an end costs its row only.
		row := strings.Split(lines.Text(), ",")
		if strings.Contains(lines.Text(), `"`) {
			if row, err = csv.NewReader(strings.NewReader(lines.Text())).Read(); err != nil {
				continue
			}
		}
		if head == nil {
			if head = row; !slices.Contains(head, "instrument_token") {
				return nil, fmt.Errorf("the instruments file of %s has no column instrument_token", date)
			}
			continue
		}
		var i messages.Instrument
		for n, name := range head {
			if n >= len(row) {
				break
			}
			switch v := row[n]; name {
			case "instrument_token":
				token, _ := strconv.ParseUint(v, 10, 32)
				i.Token = uint32(token)
			case "exchange":
				i.Exchange = v
			case "tradingsymbol":
				i.Tradingsymbol = v
			case "name":
				i.Name = v
			case "instrument_type":
				i.Type = v
			case "segment":
				i.Segment = v
			case "expiry":
				i.Expiry, _ = time.ParseInLocation(time.DateOnly, v, ist.Zone)
			case "strike":
				i.Strike, _ = strconv.ParseFloat(v, 64)
			case "tick_size":
				i.TickSize, _ = strconv.ParseFloat(v, 64)
			case "lot_size":
				i.LotSize, _ = strconv.Atoi(v)
			}
		}
		if i.Token != 0 {
			all[i.Token] = i
		}
	}
	if err := lines.Err(); err != nil {
		return all, fmt.Errorf("the instruments file of %s: %w", date, err)
	}
	return all, nil
}
