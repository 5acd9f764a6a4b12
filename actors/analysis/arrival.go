package analysis

import "kitestring/messages"

// arrival is what reaches a series: a tick, or what is left of a minute's ticks.
// Both say the same, so that conflation does not show in a bar.
type arrival struct {
	first, high, low, last  int32
	volumeFirst, volumeLast uint32 // cumulative, of the day
	hasVolume               bool
	oi                      uint32
	count                   int
	at                      int64 // exchange time of the newest tick, Unix seconds
	snapshot                bool  // may have been counted before: sets the baseline only
	gapped                  bool  // older minutes had to be given up
	generation              messages.Generation
}

func tickArrival(t *messages.Tick, snapshot bool, g messages.Generation) arrival {
	return arrival{
		first: t.LastPrice, high: t.LastPrice, low: t.LastPrice, last: t.LastPrice,
		volumeFirst: t.Volume, volumeLast: t.Volume, hasVolume: hasVolume(t),
		oi: t.OI, count: 1, at: int64(t.ExchangeTime), snapshot: snapshot, generation: g,
	}
}

func minuteArrival(m *messages.Minute, g messages.Generation) arrival {
	// The newest tick lies in the minute even where its own time is unusable.
	at := max(int64(m.Newest.ExchangeTime), int64(m.Start))
	return arrival{
		first: m.First, high: m.High, low: m.Low, last: m.Last,
		volumeFirst: m.VolumeFirst, volumeLast: m.VolumeLast, hasVolume: hasVolume(&m.Newest),
		oi: m.OI, count: int(m.Count), at: at, gapped: m.Gapped, generation: g,
	}
}

func hasVolume(t *messages.Tick) bool {
	return t.Mode >= messages.ModeQuote && messages.SegmentOf(t.InstrumentToken) != messages.Indices
}
