package bus

import "github.com/prometheus/client_golang/prometheus"

// Metrics registers what the bus counts.
func Metrics(reg prometheus.Registerer, store *Store) { reg.MustRegister(collector{store}) }

// collector shows the status.
type collector struct{ store *Store }

var (
	descState     = prometheus.NewDesc("kitestring_bus_state", "1 for the state of the bus, 0 for the others.", []string{"state"}, nil)
	descPublished = prometheus.NewDesc("kitestring_bus_messages_total", "Messages given to the bus.", []string{"kind"}, nil)
	descBytes     = prometheus.NewDesc("kitestring_bus_bytes_total", "Bytes of the messages given to the bus, without headers.", nil, nil)
	descLost      = prometheus.NewDesc("kitestring_bus_lost_total", "Messages that are not on the bus, by the reason.", []string{"reason"}, nil)
	descQueue     = prometheus.NewDesc("kitestring_bus_queue_ticks", "Ticks that wait to be published.", nil, nil)
	descConnects  = prometheus.NewDesc("kitestring_bus_connects_total", "Connections to the bus.", nil, nil)
	descTaken     = prometheus.NewDesc("kitestring_bus_epochs_total", "How often this server began to publish.", nil, nil)
	descConsumers = prometheus.NewDesc("kitestring_bus_consumers", "Consumers that are connected to the embedded server.", nil, nil)
	descCut       = prometheus.NewDesc("kitestring_bus_cut_consumers_total", "Consumers that the embedded server cut off because they took too little.", nil, nil)
)

// Describe implements prometheus.Collector.
func (c collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descState, descPublished, descBytes, descLost, descQueue, descConnects, descTaken, descConsumers, descCut} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(out chan<- prometheus.Metric) {
	s := c.store.Status()
	for i, name := range states {
		v := 0.0
		if State(i) == s.State {
			v = 1
		}
		out <- prometheus.MustNewConstMetric(descState, prometheus.GaugeValue, v, name)
	}
	for name, n := range s.Published {
		out <- prometheus.MustNewConstMetric(descPublished, prometheus.CounterValue, float64(n), name)
	}
	for name, n := range s.Lost {
		out <- prometheus.MustNewConstMetric(descLost, prometheus.CounterValue, float64(n), name)
	}
	for _, m := range []struct {
		desc *prometheus.Desc
		kind prometheus.ValueType
		v    float64
	}{
		{descBytes, prometheus.CounterValue, float64(s.Bytes)},
		{descQueue, prometheus.GaugeValue, float64(s.Queue)},
		{descConnects, prometheus.CounterValue, float64(s.Connects)},
		{descTaken, prometheus.CounterValue, float64(s.Taken)},
		{descConsumers, prometheus.GaugeValue, float64(s.Consumers)},
		{descCut, prometheus.CounterValue, float64(s.Cut)},
	} {
		out <- prometheus.MustNewConstMetric(m.desc, m.kind, m.v)
	}
}
