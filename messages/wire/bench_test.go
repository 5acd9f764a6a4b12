package wire

import (
	"fmt"
	"slices"
	"testing"

	kiteticker "github.com/zerodha/gokiteconnect/v4/ticker"

	"kitestring/messages"
)

func fullFrame(packets int) []byte {
	p := samplePackets()[lenFull]
	return AppendFrame(nil, slices.Repeat([][]byte{p}, packets)...)
}

func perTick(b *testing.B, packets int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(packets), "ns/tick")
}

// Run together with BenchmarkDecodeOfficial and BenchmarkCopy: the ratios of
// one run are worth more than any figure of its own.
func BenchmarkDecodeFull(b *testing.B) {
	for _, packets := range []int{50, 300, 3000} {
		b.Run(fmt.Sprint(packets), func(b *testing.B) {
			frame := fullFrame(packets)
			var d Decoder
			ticks := make([]messages.Tick, 0, packets)
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if ticks, err = d.Decode(frame, ticks[:0]); err != nil || len(ticks) != packets {
					b.Fatal(err)
				}
			}
			perTick(b, packets)
		})
	}
}

func BenchmarkDecodeMixed(b *testing.B) {
	p := samplePackets()
	var packets [][]byte
	for i := range 300 {
		packets = append(packets, p[lengths[i%len(lengths)]])
	}
	frame := AppendFrame(nil, packets...)
	var d Decoder
	ticks := make([]messages.Tick, 0, len(packets))
	b.ReportAllocs()
	for b.Loop() {
		ticks, _ = d.Decode(frame, ticks[:0])
	}
	perTick(b, len(packets))
}

func BenchmarkDecodeOfficial(b *testing.B) {
	for _, packets := range []int{50, 300, 3000} {
		b.Run(fmt.Sprint(packets), func(b *testing.B) {
			frame := fullFrame(packets)
			official := kiteticker.New("key", "token")
			b.ReportAllocs()
			for b.Loop() {
				if ticks, err := officialDecode(official, frame); err != nil || len(ticks) != packets {
					b.Fatal(err)
				}
			}
			perTick(b, packets)
		})
	}
}

// BenchmarkCopy is the limit: the bytes alone, moved once.
func BenchmarkCopy(b *testing.B) {
	for _, packets := range []int{50, 300, 3000} {
		b.Run(fmt.Sprint(packets), func(b *testing.B) {
			frame := fullFrame(packets)
			to := make([]byte, len(frame))
			for b.Loop() {
				copy(to, frame)
			}
			perTick(b, packets)
		})
	}
}
