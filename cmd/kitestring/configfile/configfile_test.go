package configfile

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"kitestring/actors/alerts"
	"kitestring/actors/analysis"
	"kitestring/actors/instruments"
	"kitestring/messages"
	"kitestring/supervisor/tree"
)

func TestConfigFileDefaultsAndValues(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want tree.Reloadable
	}{
		"nothing set": {`{}`, tree.Reloadable{}},
		"the example": {Example, tree.Reloadable{
			Underlyings: instruments.Defaults()[:1], AnalysisProfile: analysis.Calibrated, BarInterval: 5 * time.Minute, MailboxTicks: 8192,
			Thresholds:  analysis.Thresholds{"pcr": {"bullish_from": 1.3}},
			Instruments: []messages.Want{{InstrumentToken: 408065, Tradingsymbol: "INFY", Mode: messages.ModeFull}},
			Alerts: []alerts.Rule{
				{Name: "outlook-up", Underlying: "NIFTY", Kind: "outlook", Signal: "bullish", MinConfidence: 60, MinCoverage: 0.8, Cooldown: 15 * time.Minute, Channels: []string{"ntfy"}},
				{Name: "pcr-high", Kind: "pcr", Value: "pcr", Above: new(1.3), Cooldown: 15 * time.Minute},
				{Name: "max-pain", Kind: "pcr", Crosses: "max_pain", Cooldown: 15 * time.Minute},
				{Name: "zone", Kind: "zone_control", Touches: "zone", Cooldown: 15 * time.Minute},
			},
			HolidayFile: "/etc/kitestring/holidays.txt", FeedSockets: 3, PeerAddr: "10.0.0.5:8440", GatewayInstruments: 5500, Record: tree.RecordConfig{Days: 7, Gigabytes: 20},
		}},
		"a part, with a byte order mark": {"\xef\xbb\xbf" + `{"analysis": {"profile": "classic"}}`, tree.Reloadable{AnalysisProfile: analysis.Classic}},
		"another index": {`{"underlyings": [{"derivatives_exchange": "BFO", "index_symbol": "BANKEX", "index_exchange": "BSE", "name": "BANKEX"}]}`, tree.Reloadable{
			Underlyings: []instruments.UnderlyingSpec{{Name: "BANKEX", IndexExchange: "BSE", IndexSymbol: "BANKEX", DerivativesExchange: "BFO"}},
		}},
		"no recording":            {`{"record": "off"}`, tree.Reloadable{Record: tree.RecordConfig{Off: true}}},
		"a recording with orders": {`{"record": {"orders": true}}`, tree.Reloadable{Record: tree.RecordConfig{Orders: true}}},
		"no bus":                  {`{"bus": "off"}`, tree.Reloadable{}},
		"a bus":                   {`{"bus": "nats://a:4222,tls://b"}`, tree.Reloadable{Bus: tree.BusConfig{URL: "nats://a:4222,tls://b"}}},
		"its all": {`{"bus": {"url": "tls://b:1", "shared": true, "server": "mumbai-1", "ticks": "all", "credentials": "/c", "ca": "/ca", "certificate": "/cert", "key": "/key"}}`, tree.Reloadable{
			Bus: tree.BusConfig{URL: "tls://b:1", Shared: true, Server: "mumbai-1", All: true, Credentials: "/c", CA: "/ca", Certificate: "/cert", Key: "/key"},
		}},
		"an alert with everything": {`{"alerts": [{"name": "a", "kind": "zone_control", "value": "nearest_support.level", "below": -1, "session_only": false, "doubtful_input": true, "cooldown": "24h"}]}`, tree.Reloadable{
			Alerts: []alerts.Rule{{Name: "a", Kind: "zone_control", Value: "nearest_support.level", Below: new(-1.0), Always: true, Doubtful: true, Cooldown: 24 * time.Hour}},
		}},
		"an alert before its underlying": {`{"alerts": [{"name": "a", "kind": "pcr", "signal": "bullish", "underlying": "BANKEX"}], "underlyings": [{"derivatives_exchange": "BFO", "index_symbol": "BANKEX", "index_exchange": "BSE", "name": "BANKEX"}]}`, tree.Reloadable{
			Underlyings: []instruments.UnderlyingSpec{{Name: "BANKEX", IndexExchange: "BSE", IndexSymbol: "BANKEX", DerivativesExchange: "BFO"}},
			Alerts:      []alerts.Rule{{Name: "a", Underlying: "BANKEX", Kind: "pcr", Signal: "bullish", Cooldown: 15 * time.Minute}},
		}},
		"the edges": {`{"mailbox": {"ticks": 64}, "analysis": {"interval": "15m"}}`, tree.Reloadable{MailboxTicks: 64, BarInterval: 15 * time.Minute}},
	} {
		var got tree.Reloadable
		if err := parse("c.json", []byte(c.text), &got); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// wrongConfigs are files that are refused, and what the refusal says.
var wrongConfigs = []struct {
	text string
	want []string
}{
	{`{"record": "on"}`, []string{"line 1", "record", `"off"`, "orders, days, gigabytes"}},
	{`{"record": {"days": 0}}`, []string{"record.days 0", "1 to 3650"}},
	{`{"bus": "redis://a"}`, []string{"bus \"redis://a\"", "off, embedded, or the URL"}},
	{`{"bus": 4222}`, []string{"bus \"\"", "off, embedded"}},
	{`{"bus": "nats://user:pass@a:4222"}`, []string{"bus holds a password", "bus.credentials"}},
	{`{"bus": {"url": "nats://a/b"}}`, []string{"bus.url", "nats://10.1.2.3:4222"}},
	{`{"bus": {"shared": true}}`, []string{"bus.url is missing"}},
	{`{"bus": {"url": "embedded", "listen": "0.0.0.0:4222"}}`, []string{"bus.listen", "loopback only"}},
	{`{"bus": {"url": "embedded", "shared": true}}`, []string{"bus.shared", "NATS server of its own"}},
	{`{"bus": {"url": "embedded", "credentials": "/c"}}`, []string{"asks for no credentials"}},
	{`{"bus": {"url": "nats://a", "listen": "127.0.0.1:4222"}}`, []string{"bus.listen is for \"embedded\""}},
	{`{"bus": {"url": "nats://a", "credentials": "nats.creds"}}`, []string{"bus.credentials \"nats.creds\"", "whole path"}},
	{`{"bus": {"url": "nats://a", "key": "/k"}}`, []string{"bus.key is for a certificate"}},
	{`{"bus": {"url": "nats://a", "server": "a b"}}`, []string{"bus.server \"a b\"", "mumbai-1"}},
	{`{"bus": {"url": "nats://a", "ticks": "some"}}`, []string{"bus.ticks \"some\"", "list of instrument tokens"}},
	{`{"bus": {"url": "nats://a", "ticks": [0]}}`, []string{"bus.ticks[0] 0", "whole number"}},
	{``, []string{"line 1", "ends too early"}},
	{`[]`, []string{"line 1", "the file", "{...}"}},
	{"{\n// why\n}", []string{"line 2", "not JSON"}},
	{"{}\n{}", []string{"line 2", "behind the closing bracket"}},
	{"{\"analysis\": {\n\"profile\": \"calibrated\",}}", []string{"line 2", "not JSON"}},
	{"{\n\"thresholds\": {}}", []string{"line 2", "thresholds", "underlyings, analysis, mailbox"}},
	{`{"analysis": {"profile": "moon"}}`, []string{`analysis.profile "moon"`, `"calibrated" or "classic"`}},
	{`{"analysis": {"profile": 7}}`, []string{"analysis.profile 7", `"calibrated" or "classic"`}},
	{`{"analysis": {"profile": null}}`, []string{"analysis.profile null"}},
	{`{"analysis": {"interval": "2m"}}`, []string{`analysis.interval "2m"`, `"1m", "3m", "5m" or "15m"`}},
	{`{"analysis": {"window": 3}}`, []string{"analysis.window", "profile, interval, thresholds"}},
	{`{"analysis": {"thresholds": []}}`, []string{"analysis.thresholds:", "{...}"}},
	{`{"analysis": {"thresholds": {"moon": {}}}}`, []string{"analysis.thresholds.moon is not known", "pcr, volume_pulse, trend_base, candle_intent, instant, zone_control, direct, outlook"}},
	{"{\"analysis\": {\"thresholds\": {\"pcr\": {\n\"bullish\": 1}}}}", []string{"line 2", "analysis.thresholds.pcr.bullish is not known", "bullish_from, bearish_to, least_coverage, max_tick_age_seconds"}},
	{"{\"analysis\": {\"thresholds\": {\"pcr\": {\n\"bullish_from\": 9}}}}", []string{"line 2", "analysis.thresholds.pcr.bullish_from 9: it is a number from 0.5 to 5 (ratio); left out, it is 1.2"}},
	{`{"analysis": {"thresholds": {"pcr": {"bullish_from": "1.3"}}}}`, []string{`pcr.bullish_from "1.3": it is a number`}},
	{`{"analysis": {"thresholds": {"pcr": {"bullish_from": 1e999}}}}`, []string{"pcr.bullish_from 1e999: it is a number"}},
	{`{"analysis": {"thresholds": {"pcr": {"bullish_from": null}}}}`, []string{"pcr.bullish_from null: it is a number"}},
	{`{"analysis": {"thresholds": {"pcr": {"bullish_from": 1.3, "bullish_from": 1.4}}}}`, []string{"pcr.bullish_from", "repeated"}},
	{`{"analysis": {"thresholds": {"volume_pulse": {"window_bars": 60.5}}}}`, []string{"volume_pulse.window_bars 60.5: it is a whole number from 20 to 133 (bars); left out, it is 100"}},
	{`{"analysis": {"thresholds": {"volume_pulse": {"window_bars": 134}}}}`, []string{"volume_pulse.window_bars 134: it is a whole number"}},
	{`{"analysis": {"thresholds": {"trend_base": {"swing_order": 0}}}}`, []string{"trend_base.swing_order 0: it is a whole number from 1 to 9"}},
	{`{"analysis": {"thresholds": {"zone_control": {"tolerance_atr": -1}}}}`, []string{"zone_control.tolerance_atr -1: it is a number from 0.05 to 5 (ATR)"}},
	{
		"{\"analysis\": {\"thresholds\": {\n\"pcr\": {\"bearish_to\": 1.25}\n}}}",
		[]string{"line 2", "analysis.thresholds.pcr: bearish_to must be below bullish_from; here bearish_to is 1.25, bullish_from is 1.2"},
	},
	{`{"analysis": {"thresholds": {"instant": {"strong_from": 20}}}}`, []string{"thresholds.instant: signal_from must be below strong_from; here signal_from is 25, strong_from is 20"}},
	{`{"analysis": {"thresholds": {"direct": {"interval_seconds": 150}}}}`, []string{"thresholds.direct: interval_seconds must be below max_answer_age_seconds"}},
	{`{"analysis": {"thresholds": {"pcr": {"bullish_from": 1.3}}, "profile": "classic"}}`, []string{"analysis: thresholds are for profile calibrated", "fixed numbers"}},
	{`{"analysis": {"profile": "classic", "thresholds": {"pcr": {"bullish_from": 1.3}}}}`, []string{"analysis: thresholds are for profile calibrated", "fixed numbers"}},
	{`{"analysis": "classic"}`, []string{"analysis:", "{...}"}},
	{`{"holidays": "holidays.txt"}`, []string{`holidays "holidays.txt"`, "whole path"}},
	{`{"holidays": 2026}`, []string{"holidays 2026", "/etc/kitestring/holidays.txt"}},
	{`{"mailbox": {"ticks": 8}}`, []string{"mailbox.ticks 8", "from 64 to 1000000"}},
	{`{"mailbox": {"ticks": 8192.5}}`, []string{"mailbox.ticks 8192.5", "whole number"}},
	{`{"mailbox": {"ticks": 9999999999999999999999}}`, []string{"mailbox.ticks", "from 64 to 1000000"}},
	{`{"mailbox": {"ticks": [8192]}}`, []string{"mailbox.ticks is a list or an object"}},
	{`{"mailbox": {"ticks": 100, "ticks": 200}}`, []string{"mailbox.ticks", "repeated"}},
	{`{"mailbox": {"ticks": 100`, []string{"ends too early"}},
	{`{"instruments": [{"mode": "full"}]}`, []string{"instruments[0].instrument_token is missing"}},
	{`{"instruments": [{"instrument_token": 1, "mode": "all"}]}`, []string{`instruments[0].mode "all"`, `"quote" or "full"`}},
	{`{"instruments": [{"instrument_token": 4294967296}]}`, []string{"instruments[0].instrument_token 4294967296", "whole number"}},
	{`{"instruments": [{"instrument_token": 7}, {"instrument_token": 7}]}`, []string{"instruments[1].instrument_token 7", "already"}},
	{`{"alerts": [{"kind": "pcr"}]}`, []string{"alerts[0].name is missing"}},
	{`{"alerts": [{"name": "PCR high"}]}`, []string{`alerts[0].name "PCR high"`, "like pcr-high"}},
	{`{"alerts": [{"name": "a", "kind": "pcr", "signal": "bullish"}, {"name": "a"}]}`, []string{`alerts[1].name "a"`, "already"}},
	{`{"alerts": [{"name": "a", "kind": "moon"}]}`, []string{`alerts[0].kind "moon"`, `"pcr"`}},
	{`{"alerts": [{"name": "a", "kind": "pcr"}]}`, []string{"alerts[0]: it has exactly one of"}},
	{`{"alerts": [{"name": "a", "kind": "pcr", "signal": "bullish", "price_crosses": "max_pain"}]}`, []string{"alerts[0]: it has exactly one of"}},
	{`{"alerts": [{"name": "a", "kind": "pcr", "value": "pcr"}]}`, []string{"either above or below"}},
	{`{"alerts": [{"name": "a", "kind": "pcr", "value": "pcr", "above": 1, "below": 2}]}`, []string{"either above or below"}},
	{`{"alerts": [{"name": "a", "kind": "pcr", "signal": "bullish", "above": 1}]}`, []string{"either above or below"}},
	{`{"alerts": [{"name": "a", "kind": "pcr", "signal": "bullish", "above": 1, "below": 2}]}`, []string{"either above or below"}},
	{`{"alerts": [{"name": "a", "kind": "pcr", "value": "put/call"}]}`, []string{`alerts[0].value "put/call"`, "like pcr"}},
	{`{"alerts": [{"name": "a", "kind": "pcr", "value": "prc", "above": 1}]}`, []string{`a watches "prc"`, "no number of pcr", "did you mean pcr?", "max_pain"}},
	{`{"alerts": [{"name": "a", "kind": "pcr", "signal": "bulish"}]}`, []string{`a waits for "bulish"`, "pcr never signals", "did you mean bullish?", "It signals: bullish, neutral, bearish"}},
	{`{"alerts": [{"name": "a", "kind": "instant", "signal": "buy"}]}`, []string{"instant never signals", "strong_buy, buy_signal, wait"}},
	{`{"alerts": [{"name": "a", "kind": "pcr", "value": "sentiment", "above": 1}]}`, []string{`"sentiment", which is no number of pcr. It has: pcr, `}},
	{`{"alerts": [{"name": "a", "kind": "pcr", "price_crosses": "maxpain"}]}`, []string{"did you mean max_pain?"}},
	{`{"alerts": [{"name": "a", "kind": "zone_control", "value": "level", "above": 1}]}`, []string{"did you mean nearest_support.level?"}},
	{`{"alerts": [{"name": "a", "kind": "zone_control", "value": "support.level", "above": 1}]}`, []string{`"support.level", which is no number of zone_control`}},
	{`{"alerts": [{"name": "a", "kind": "pcr", "price_touches": "zone"}]}`, []string{"price_touches is for kind zone_control"}},
	{`{"alerts": [{"name": "a", "kind": "pcr", "price_touches": "wall"}]}`, []string{`"support", "resistance" or "zone"`}},
	{`{"alerts": [{"name": "a", "kind": "pcr", "signal": "bullish", "min_confidence": 101}]}`, []string{"alerts[0].min_confidence 101: it is a number from 0 to 100"}},
	{`{"alerts": [{"name": "a", "kind": "pcr", "signal": "bullish", "min_coverage": "all"}]}`, []string{`alerts[0].min_coverage "all": it is a number`}},
	{`{"alerts": [{"name": "a", "kind": "pcr", "signal": "bullish", "cooldown": "10s"}]}`, []string{`alerts[0].cooldown "10s"`, "from 1m to 24h"}},
	{`{"alerts": [{"name": "a", "kind": "pcr", "signal": "bullish", "cooldown": 15}]}`, []string{"alerts[0].cooldown 15", "like 15m"}},
	{`{"alerts": [{"name": "a", "kind": "pcr", "signal": "bullish", "channels": ["email"]}]}`, []string{`alerts[0].channels[0] "email"`, `"ntfy", "telegram" or "webhook"`}},
	{`{"alerts": [{"name": "a", "kind": "pcr", "signal": "bullish", "underlying": "DAX"}]}`, []string{`a is about "DAX"`, "NIFTY, BANKNIFTY, SENSEX"}},
	{`{"underlyings": []}`, []string{"underlyings holds 0", "1 to 20", "leave it out"}},
	{`{"underlyings": {}}`, []string{"underlyings", "[...]"}},
	{`{"underlyings": ["NIFTY"]}`, []string{"underlyings[0]", "{...}"}},
	{"{\"underlyings\": [\n{\"name\": \"NIFTY\"}]}", []string{"line 2", "underlyings[0].index_exchange is missing"}},
	{`{"underlyings": [{"name": "nifty 50"}]}`, []string{`underlyings[0].name "nifty 50"`, "capital letters"}},
	{`{"underlyings": [{"name": ""}]}`, []string{`underlyings[0].name ""`, "like NIFTY"}},
	{`{"underlyings": [{"index_exchange": "NYSE"}]}`, []string{`underlyings[0].index_exchange "NYSE"`, `"NSE" or "BSE"`}},
	{`{"underlyings": [{"derivatives_exchange": "NSE"}]}`, []string{"underlyings[0].derivatives_exchange", `"NFO" or "BFO"`}},
	{`{"underlyings": [{"index_symbol": " NIFTY 50"}]}`, []string{"underlyings[0].index_symbol", "like NIFTY 50"}},
	{`{"underlyings": [{"expiry": "weekly"}]}`, []string{"underlyings[0].expiry", "name, index_exchange, index_symbol, derivatives_exchange"}},
	{
		`{"underlyings": [{"name": "NIFTY", "index_exchange": "NSE", "index_symbol": "NIFTY 50", "derivatives_exchange": "NFO"}, {"name": "NIFTY"}]}`,
		[]string{`underlyings[1].name "NIFTY"`, "already"},
	},
}

func TestWrongConfigFilesAreNamed(t *testing.T) {
	for _, c := range wrongConfigs {
		err := parse("c.json", []byte(c.text), &tree.Reloadable{})
		if err == nil {
			t.Errorf("%s: accepted", c.text)
			continue
		}
		for _, want := range append(c.want, "c.json: line ") {
			if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %q does not say %q", c.text, err, want)
			}
		}
	}
}

// FuzzConfigFile: whatever the bytes, an answer; what is accepted is within
// what is allowed.
func FuzzConfigFile(f *testing.F) {
	f.Add([]byte(Example))
	for _, c := range wrongConfigs {
		f.Add([]byte(c.text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var cfg tree.Reloadable
		if parse("c.json", text, &cfg) != nil {
			return
		}
		if n := cfg.MailboxTicks; n != 0 && (n < minMailbox || n > maxMailbox) {
			t.Errorf("accepted a mailbox of %d", n)
		}
		if len(cfg.Underlyings) > maxUnderlyings {
			t.Errorf("accepted %d underlyings", len(cfg.Underlyings))
		}
		for _, a := range analysis.All() {
			values := cfg.Thresholds[a.Kind]
			if err := a.Check(values); err != nil || cfg.AnalysisProfile == analysis.Classic && values != nil {
				t.Errorf("accepted %s %v in profile %q", a.Kind, values, cfg.AnalysisProfile)
			}
			for _, p := range a.Parameters {
				if v, ok := values[p.Name]; ok && !p.Allows(v) {
					t.Errorf("accepted %s.%s %g", a.Kind, p.Name, v)
				}
			}
		}
		for _, u := range cfg.Underlyings {
			if !underlyingName.MatchString(u.Name) || u.IndexExchange == "" || u.IndexSymbol == "" || u.DerivativesExchange == "" {
				t.Errorf("accepted %+v", u)
			}
		}
	})
}
