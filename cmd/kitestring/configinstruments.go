package main

import (
	"math"

	"kitestring/messages"
)

// maxInstruments is what Kite streams to one API key: three sockets of 3000.
const maxInstruments = 9000

// instruments reads what is subscribed to beside what the analyses need. The
// tradingsymbol guards against an instrument token that was reused.
func (r *configReader) instruments(path string, into *[]messages.Want) error {
	var wants []messages.Want
	seen := map[uint32]bool{}
	err := r.list(path, func(path string) error {
		w := messages.Want{Mode: messages.ModeFull}
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
			{"tradingsymbol", func(path string) (err error) {
				w.Tradingsymbol, err = r.nonEmpty(path, "like INFY")
				return err
			}},
			{"mode", func(path string) error {
				name, err := r.oneOf(path, "ltp", "quote", "full")
				if err != nil {
					return err
				}
				return w.Mode.UnmarshalText([]byte(name))
			}},
		})
		if err == nil && w.InstrumentToken == 0 {
			err = r.errorf("%s.instrument_token is missing", path)
		}
		wants = append(wants, w)
		return err
	})
	if err == nil && len(wants) > maxInstruments {
		err = r.errorf("%s holds %d entries: Kite streams at most %d", path, len(wants), maxInstruments)
	}
	*into = wants
	return err
}
