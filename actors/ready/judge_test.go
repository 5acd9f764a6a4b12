package ready

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kitestring/actors/actorstest"
	"kitestring/actors/hours"
	"kitestring/messages"
	"kitestring/messages/ist"
)

func TestMain(m *testing.M) { actorstest.Main(m) }

func at(day, hour, minute int) time.Time {
	return time.Date(2026, time.March, day, hour, minute, 0, 0, ist.Zone)
}

// healthy is a Wednesday's 08:50 on which all is well.
func healthy() Snapshot {
	now := at(11, 8, 50)
	future := messages.Instrument{Token: 1, Tradingsymbol: "NIFTY26MARFUT", Expiry: at(31, 0, 0)}
	return Snapshot{
		Now: now, Hours: hours.BuiltIn(), LoginURL: "http://127.0.0.1:8420/login",
		Token: messages.TokenStatus{Generation: 2, State: messages.Valid}, TokenProven: at(11, 8, 49),
		Disks:   []DiskSpace{{What: "state directory", Free: 10_000_000_000}},
		FileDay: at(11, 0, 0), FileWant: at(11, 0, 0),
		Underlyings: []messages.Underlying{{Name: "NIFTY", Future: future, Expiry: at(17, 0, 0), Chain: []messages.Instrument{future}}},
		Shards:      []Shard{{ShardStatus: messages.ShardStatus{State: messages.Streaming}, Streams: time.Minute, Silent: time.Second, Wanted: 4, Arrived: 4}},
		Wanted:      4, Room: 6000,
		Gateway: Part{On: true, Detail: "serves"}, Peer: Part{On: true, Detail: "shares"}, Channels: Channels{SetUp: []string{"ntfy"}, Tried: []string{"ntfy"}},
	}
}

// TestJudge breaks the healthy morning in one way after the other: only the
// line that is to blame asks for something.
func TestJudge(t *testing.T) {
	for name, c := range map[string]struct {
		change func(s *Snapshot)
		want   string // "name state" of what is not ok; recorder is always off
		says   string // a part of the first of their details and fixes
	}{
		"healthy":                 {func(*Snapshot) {}, "", ""},
		"a Sunday":                {func(s *Snapshot) { s.Now, s.Token = at(15, 8, 50), messages.TokenStatus{} }, "token not_due", ""},
		"a Sunday without a feed": {func(s *Snapshot) { s.Now, s.Token, s.Shards = at(15, 8, 50), messages.TokenStatus{}, nil }, "token not_due, socket not_due, first_packet not_due, option_chain not_due", ""},
		"a year of no table":      {func(s *Snapshot) { s.Now = at(11, 8, 50).AddDate(3, 0, 0); s.TokenProven = s.Now }, "session warning, expiry_roll missing", "does not know 2029"},
		"no file of sessions":     {func(s *Snapshot) { s.HoursFault = "line 1" }, "session missing", "trading today 09:15-15:30"},
		"a clock behind":          {func(s *Snapshot) { s.ClockOff = -time.Minute }, "clock missing", "1m0s behind"},
		"a file that is damaged":  {func(s *Snapshot) { s.EnvFault = "line 2 is cut." }, "env_mount missing", "line 2 is cut"},
		"a mounted file":          {func(s *Snapshot) { s.EnvMounted = true }, "env_mount missing", "mounted by itself"},
		"a directory read-only":   {func(s *Snapshot) { s.EnvReadOnly = true }, "env_mount missing", "cannot be written"},
		"no file events":          {func(s *Snapshot) { s.EnvUnwatched = "nfs" }, "env_mount warning", "polled"},
		"little room":             {func(s *Snapshot) { s.Disks[0].Free = 800_000_000 }, "disk warning", "800 MB"},
		"a disk that hangs":       {func(s *Snapshot) { s.Disks[0].Err = "input/output error" }, "disk missing", "does not answer"},
		"no login yet": {func(s *Snapshot) {
			s.Token = messages.TokenStatus{State: messages.Rejected, Reason: "The flush ended it."}
		}, "token missing", "The flush ended it"},
		"no login, no feed": {func(s *Snapshot) {
			s.Token, s.Shards, s.FileDay = messages.TokenStatus{State: messages.NoToken, Reason: "none"}, nil, time.Time{}
		}, "token missing, instruments waiting, expiry_roll waiting, socket waiting, first_packet waiting, option_chain waiting", "none"},
		"before six":              {func(s *Snapshot) { s.Now, s.Token.State = at(11, 5, 0), messages.Rejected }, "token not_due", ""},
		"not asked since six":     {func(s *Snapshot) { s.TokenProven = at(11, 5, 59) }, "token waiting", "since 06:00"},
		"being checked":           {func(s *Snapshot) { s.Token.State = messages.Unverified }, "token waiting", "being checked"},
		"a check without answer":  {func(s *Snapshot) { s.Token.State = messages.Suspect }, "token warning", "had no answer"},
		"refused as too many":     {func(s *Snapshot) { s.Throttled, s.Refusing = time.Second, true }, "rest_budget missing", "429"},
		"refused once":            {func(s *Snapshot) { s.Throttled = time.Second }, "rest_budget warning", "429"},
		"yesterday's instruments": {func(s *Snapshot) { s.FileDay = at(10, 0, 0) }, "instruments missing, expiry_roll waiting, option_chain waiting", "2026-03-10 serves"},
		"half the instruments":    {func(s *Snapshot) { s.FileGaps = []string{"no BFO"} }, "instruments missing, expiry_roll waiting, option_chain waiting", "no BFO"},
		"an ended future":         {func(s *Snapshot) { s.Underlyings[0].Future.Expiry = at(10, 0, 0) }, "expiry_roll missing", "has ended"},
		"a future that ends":      {func(s *Snapshot) { s.Underlyings[0].Future.Expiry = at(11, 0, 0) }, "", ""},
		"an ended chain":          {func(s *Snapshot) { s.Underlyings[0].Expiry = at(10, 0, 0) }, "expiry_roll missing", "option chain of NIFTY has ended"},
		"a socket in backoff":     {func(s *Snapshot) { s.Shards[0].State = messages.Backoff }, "socket missing, first_packet waiting, option_chain waiting", "backoff"},
		"a silent socket":         {func(s *Snapshot) { s.Shards[0].Silent = 20 * time.Second }, "socket missing, first_packet waiting, option_chain waiting", "silent for 20s"},
		"no packet yet":           {func(s *Snapshot) { s.Shards[0].Arrived, s.Shards[0].Streams = 0, time.Second }, "first_packet waiting, option_chain waiting", "0 of 4"},
		"no packet at all":        {func(s *Snapshot) { s.Shards[0].Arrived = 0 }, "first_packet missing, option_chain waiting", "0 of 4"},
		"no chain":                {func(s *Snapshot) { s.Underlyings[0].Chain = nil }, "option_chain missing", "NIFTY has no option chain"},
		"no chain yet":            {func(s *Snapshot) { s.Underlyings[0].Chain, s.Shards[0].Streams = nil, time.Second }, "option_chain waiting", "NIFTY has no option chain"},
		"a refused instrument":    {func(s *Snapshot) { s.Refused = []string{"X is not listed"} }, "capacity missing", "X is not listed"},
		"three full sockets":      {func(s *Snapshot) { s.Wanted = 6001 }, "capacity warning", "with a gap"},
		"the gateway given up":    {func(s *Snapshot) { s.Gateway.Fault, s.Gateway.Fix = "is quarantined", "restart it" }, "gateway missing", "quarantined"},
		"the peer is cut off":     {func(s *Snapshot) { s.Peer.Warning, s.Peer.Fix = "cannot be reached", "look" }, "peer warning", "reached"},
		"the gateway restarts":    {func(s *Snapshot) { s.Gateway.Wait = "is starting" }, "gateway waiting", "starting"},
		"nobody to remind":        {func(s *Snapshot) { s.Channels = Channels{} }, "reminder off", "no person is reminded"},
		"a channel that fails":    {func(s *Snapshot) { s.Channels.Failed = []string{"ntfy: it answered 404"} }, "reminder missing", "404"},
		"a channel half set up":   {func(s *Snapshot) { s.Channels = Channels{Warnings: []string{"no chat"}} }, "reminder missing", "no chat"},
	} {
		t.Run(name, func(t *testing.T) {
			s := healthy()
			c.change(&s)
			var not []string
			first := ""
			checks := Judge(s)
			if len(checks) != len(Names) {
				t.Fatalf("%d lines, want %d", len(checks), len(Names))
			}
			for i, check := range checks {
				if check.Name != Names[i] {
					t.Errorf("line %d is %s, want %s", i, check.Name, Names[i])
				}
				if check.State == messages.ReadyMissing && check.Fix == "" {
					t.Errorf("%s is missing and names no fix", check.Name)
				}
				if check.State == messages.ReadyOK || check.Name == Recorder {
					continue
				}
				if not = append(not, check.Name+" "+check.State.String()); first == "" {
					first = check.Detail
				}
			}
			if got := strings.Join(not, ", "); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if !strings.Contains(first, c.says) {
				t.Errorf("it says %q, want %q in it", first, c.says)
			}
		})
	}
}

// TestOtherDaysSayWhenTheNextSessionBegins on a Sunday and in the evening.
func TestOtherDaysSayWhenTheNextSessionBegins(t *testing.T) {
	for now, want := range map[time.Time]string{
		at(15, 8, 50):  "no session today (weekend); the next session begins Mon 16 Mar 09:15 IST",
		at(11, 19, 0):  "today's session is over; the next session begins Thu 12 Mar 09:15 IST",
		at(11, 12, 30): "trading today 09:15-15:30 IST",
	} {
		s := healthy()
		s.Now = now
		if got := Judge(s)[0].Detail; got != want {
			t.Errorf("at %s: %q, want %q", now, got, want)
		}
	}
}

func TestSinceIsWhenTheStateBegan(t *testing.T) {
	store := NewStore(prometheus.NewRegistry())
	s := healthy()
	take := func(now time.Time) messages.Readiness {
		r, _ := store.take(Judge(s), true, now)
		return r
	}
	began := take(at(11, 8, 0))
	s.ClockOff = time.Minute
	take(at(11, 8, 10))
	s.ClockOff = 2 * time.Minute
	r := take(at(11, 8, 20))
	if r.Ready || !began.Ready || !r.Checks[1].Since.Equal(at(11, 8, 10)) || !r.Checks[0].Since.Equal(at(11, 8, 0)) {
		t.Errorf("%+v", r)
	}
	if len(r.Missing()) != 1 || r.Missing()[0].Name != Clock {
		t.Errorf("missing: %+v", r.Missing())
	}
}

// TestShown goes through a day: the morning is there from 08:00 until data has
// been live for a minute, and again when it is not.
func TestShown(t *testing.T) {
	store := NewStore(prometheus.NewRegistry())
	clock := func(hour, minute int) time.Time { return at(11, hour, minute) }
	for _, c := range []struct {
		now   time.Time
		phase messages.Phase
		next  time.Time
		live  bool
		want  bool
	}{
		{clock(7, 59), messages.Closed, clock(9, 0), true, false},
		{clock(8, 0), messages.Closed, clock(9, 0), true, true},
		{clock(9, 10), messages.Matching, clock(9, 15), true, true},
		{clock(9, 15), messages.Open, clock(15, 30), false, true},
		{clock(9, 20), messages.Open, clock(15, 30), false, true},
		{clock(9, 21), messages.Open, clock(15, 30), true, true}, // the first live minute
		{clock(9, 22), messages.Open, clock(15, 30), true, false},
		{clock(13, 0), messages.Open, clock(15, 30), false, true},
		{clock(13, 1), messages.Open, clock(15, 30), true, false},
		{clock(15, 31), messages.Closing, clock(16, 0), true, false},
		{clock(16, 0), messages.Closed, at(12, 9, 0), true, false},
		{at(12, 8, 30), messages.Closed, at(12, 9, 0), true, true},
		{at(12, 9, 15), messages.Open, at(12, 15, 30), true, true}, // of a new day
		{at(15, 8, 30), messages.Closed, at(16, 9, 0), true, false},
	} {
		if got := store.shows(Snapshot{Now: c.now, Phase: c.phase, Next: c.next, Live: c.live}); got != c.want {
			t.Errorf("at %s: shown %t", c.now.Format("2 15:04"), got)
		}
	}
}
