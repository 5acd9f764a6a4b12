package indicators

// ConfirmedPeak reports whether v[i] begins a peak: above the order values
// before it, and none above it until order values in a row lie below its last
// equal. Those must be there: a peak is never taken back.
func ConfirmedPeak(v []float64, i, order int) bool {
	if i < order {
		return false
	}
	for d := 1; d <= order; d++ {
		if v[i-d] >= v[i] {
			return false
		}
	}
	last := i
	for k := i + 1; k < len(v) && k <= last+order; k++ {
		switch {
		case v[k] > v[i]:
			return false
		case v[k] == v[i]:
			last = k
		}
	}
	return last+order < len(v)
}
