package ready

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"kitestring/actors/hours"
	"kitestring/messages"
	"kitestring/messages/ist"
)

// The names of the checks, in their order: first what others wait for.
const (
	Session     = "session"      // which hours today has
	Clock       = "clock"        // how far this machine's clock is off
	EnvFile     = "env_mount"    // the .env file can be read, written and watched
	Disk        = "disk"         // room for what is written
	Token       = "token"        // accepted by Kite today
	REST        = "rest_budget"  // requests are let through
	Instruments = "instruments"  // the file of today
	Expiry      = "expiry_roll"  // no contract in use has ended
	Socket      = "socket"       // each shard streams
	FirstPacket = "first_packet" // each shard has brought data
	Chain       = "option_chain" // strikes round the money
	Capacity    = "capacity"     // all that is wanted is subscribed
	Gateway     = "gateway"      // serves other programs
	Recorder    = "recorder"     // keeps what comes
	Peer        = "peer"         // works with the same token
	Reminder    = "reminder"     // reaches a person
)

// Names are all of them.
var Names = []string{Session, Clock, EnvFile, Disk, Token, REST, Instruments, Expiry, Socket, FirstPacket, Chain, Capacity, Gateway, Recorder, Peer, Reminder}

// Snapshot is what the morning looks at, at one moment.
type Snapshot struct {
	Now time.Time // exchange time

	Hours      *hours.Table
	Phase      messages.Phase
	Next       time.Time     // when the phase changes
	Live       bool          // data is live, or nothing keeps it from it while no session runs
	HoursFault string        // why the file that replaces the table is not in use; "": it is, or there is none
	ClockOff   time.Duration // of this machine before the exchange's; 0: right, or not known

	Token       messages.TokenStatus // the adopted one
	TokenProven time.Time            // exchange time of its last proof; zero: none
	LoginURL    string

	EnvFault     string // why the file cannot be used as it is; "": it can
	EnvMounted   bool   // the file is a mount of its own
	EnvReadOnly  bool   // it, or its directory, cannot be written
	EnvUnwatched string // why only the poll sees changes; "": events arrive

	Disks []DiskSpace

	Throttled time.Duration // since Kite last answered 429, machine's time; 0: it has not
	Refusing  bool          // and has answered nothing else since

	FileDay  time.Time // of the instruments file in use, midnight IST; zero: none
	FileWant time.Time // of the one that should be
	FileGaps []string  // what is missing of it

	Underlyings []messages.Underlying

	Shards       []Shard
	Wanted, Room int // instruments, and how many can move to a new token without a gap
	Refused      []string

	Gateway, Recorder, Peer Part
	Channels                Channels
}

// DiskSpace is a file system that is written to.
type DiskSpace struct {
	What string // "state directory"
	Free uint64 // bytes
	Err  string // why that is not known; "": it is
}

// Shard is a socket's place.
type Shard struct {
	messages.ShardStatus
	Streams         time.Duration // machine's time since it began to
	Silent          time.Duration // since its last frame; negative: none has come
	Wanted, Arrived int           // instruments, and those of which a packet has come since the connection
}

// Part is a part of the server that may be off.
type Part struct {
	On      bool
	Fault   string // what is wrong with it and stays so; "": nothing
	Wait    string // what is wrong and passes by itself; "": nothing
	Warning string // what a session can do without; "": nothing
	Fix     string
	Detail  string // what it does
}

// Channels are the ways to a person.
type Channels struct {
	SetUp    []string
	Warnings []string
	Failed   []string // "ntfy: it answered 404", of the last try of each
	Tried    []string // that have taken a message, or have answered a try
}

// Limits of what is still well.
const (
	diskLeast  = 250_000_000
	diskLittle = 1_000_000_000
	deadAfter  = 5 * time.Second // without a frame
	firstAfter = 5 * time.Second // a packet of each instrument follows a subscription at once
	throttled  = 2 * time.Minute
	flush      = 6 // o'clock: Kite begins to end tokens
)

// Judge looks at everything. Since is not set: a [Store] knows it.
func Judge(s Snapshot) []messages.ReadyCheck {
	j := judge{Snapshot: s, day: s.Hours.Day(s.Now, hours.Market)}
	j.session()
	j.clock()
	j.envFile()
	j.disk()
	j.token()
	j.rest()
	j.instruments()
	j.expiry()
	j.socket()
	j.firstPacket()
	j.chain()
	j.capacity()
	j.part(Gateway, s.Gateway)
	j.part(Recorder, s.Recorder)
	j.part(Peer, s.Peer)
	j.reminder()
	return j.checks
}

// The morning is shown from showFrom o'clock until data has been live for showLive.
const (
	showFrom = 8
	showLive = time.Minute
)

// shown reports whether a person is to see the morning: a session is to come
// today, or runs and has no data, or has it since less than a minute.
func shown(s Snapshot, liveSince time.Time) bool {
	switch {
	case s.Now.Before(ist.At(s.Now, showFrom, 0, 0)):
		return false
	case s.Phase == messages.Open:
		return !s.Live || s.Now.Sub(liveSince) < showLive
	case s.Phase == messages.Closing:
		return false
	}
	return !s.Next.IsZero() && ist.Day(s.Next).Equal(ist.Day(s.Now))
}

type judge struct {
	Snapshot
	day    hours.Day
	checks []messages.ReadyCheck
}

func (j *judge) add(name string, state messages.ReadyState, fix, detail string, args ...any) {
	j.checks = append(j.checks, messages.ReadyCheck{Name: name, State: state, Detail: fmt.Sprintf(detail, args...), Fix: fix})
}

// state is that of a check before.
func (j *judge) state(name string) messages.ReadyState {
	for _, c := range j.checks {
		if c.Name == name {
			return c.State
		}
	}
	return messages.ReadyOK
}

// waits reports whether a check before keeps this one from being judged; the
// line says so.
func (j *judge) waits(name, before string) bool {
	switch j.state(before) {
	case messages.ReadyMissing, messages.ReadyWaiting:
		j.add(name, messages.ReadyWaiting, "", "waits for %s", before)
	case messages.ReadyNotDue:
		j.add(name, messages.ReadyNotDue, "", "no session needs it now")
	default:
		return false
	}
	return true
}

func (j *judge) session() {
	next := j.Hours.Next(j.Now, hours.Market)
	upcoming := "no session is known within two months"
	if !next.IsZero() {
		upcoming = "the next session begins " + next.In(ist.Zone).Format("Mon 2 Jan 15:04") + " IST"
	}
	var spans []string
	for _, s := range j.day.Spans {
		spans = append(spans, s.From.In(ist.Zone).Format("15:04")+"-"+s.To.In(ist.Zone).Format("15:04"))
	}
	name := ""
	if j.day.Name != "" {
		name = " (" + j.day.Name + ")"
	}
	detail := "trading today " + strings.Join(spans, " and ") + " IST" + name
	switch {
	case !j.day.Trading():
		detail = "no session today" + name + "; " + upcoming
	case !j.Now.Before(j.day.Close()):
		detail = "today's session is over; " + upcoming
	}
	switch {
	case j.HoursFault != "":
		j.add(Session, messages.ReadyMissing, "correct the file that \"holidays\" of the configuration names; its format is in the runbook, section Sessions of the exchanges",
			"the file of sessions cannot be used, the table before it stays: %s; by that, %s", j.HoursFault, detail)
	case !j.Hours.Covers(j.Now):
		j.add(Session, messages.ReadyWarning, "give this year's holidays in a file (runbook, section Sessions of the exchanges)",
			"the table of holidays does not know %d; by the usual hours, %s", j.Now.In(ist.Zone).Year(), detail)
	default:
		j.add(Session, messages.ReadyOK, "", "%s", detail)
	}
}

// due reports whether the rest of today has a session.
func (j *judge) due() bool { return j.day.Trading() && j.Now.Before(j.day.Close()) }

func (j *judge) clock() {
	side := "ahead of"
	if j.ClockOff < 0 {
		side = "behind"
	}
	if j.ClockOff != 0 {
		j.add(Clock, messages.ReadyMissing, "turn time synchronisation on: timedatectl set-ntp true", "this machine's clock is %s %s the exchange's", j.ClockOff.Abs().Round(time.Second), side)
		return
	}
	j.add(Clock, messages.ReadyOK, "", "no difference from the exchange's clock is known")
}

func (j *judge) envFile() {
	switch {
	case j.EnvFault != "":
		j.add(EnvFile, messages.ReadyMissing, "correct the file; \"kitestring doctor\" names the line", "the .env file cannot be used as it is: %s", strings.TrimRight(j.EnvFault, ". "))
	case j.EnvMounted:
		j.add(EnvFile, messages.ReadyMissing, "mount the directory of the .env file instead of the file", "the .env file is mounted by itself: a file that replaces it outside is never seen here")
	case j.EnvReadOnly:
		j.add(EnvFile, messages.ReadyMissing, "give the server's user the right to write the .env file and its directory", "the .env file cannot be written: a login cannot put its token there")
	case j.EnvUnwatched != "":
		j.add(EnvFile, messages.ReadyWarning, "none is needed: a change is seen within a second", "the .env file is polled, because no events come: %s", strings.TrimRight(j.EnvUnwatched, ". "))
	default:
		j.add(EnvFile, messages.ReadyOK, "", "the .env file is read, watched and can be written")
	}
}

func (j *judge) disk() {
	state, fix, said := messages.ReadyOK, "", []string{}
	for _, d := range j.Disks {
		switch {
		case d.Err != "":
			state, fix = messages.ReadyMissing, "mount it again, or choose another with --state-dir"
			said = append(said, "the "+d.What+" does not answer: "+d.Err)
		case d.Free < diskLeast:
			state, fix = messages.ReadyMissing, "make room on the disk of the "+d.What
			said = append(said, fmt.Sprintf("%d MB are free for the %s", d.Free/1_000_000, d.What))
		case d.Free < diskLittle && state == messages.ReadyOK:
			state, fix = messages.ReadyWarning, "make room on the disk of the "+d.What+" soon"
			said = append(said, fmt.Sprintf("%d MB are free for the %s", d.Free/1_000_000, d.What))
		default:
			said = append(said, fmt.Sprintf("%.1f GB are free for the %s", float64(d.Free)/1e9, d.What))
		}
	}
	j.add(Disk, state, fix, "%s", strings.Join(said, "; "))
}

func (j *judge) token() {
	fix := "log in: " + j.LoginURL
	flushed := ist.At(j.Now, flush, 0, 0)
	valid := j.Token.State == messages.Valid || j.Token.State == messages.Suspect
	at := j.TokenProven.In(ist.Zone).Format("15:04")
	switch {
	case valid && j.TokenProven.Before(flushed) && !j.Now.Before(flushed) && j.due():
		j.add(Token, messages.ReadyWaiting, "", "Kite has not been asked about generation %d since 06:00, when it ends tokens", j.Token.Generation)
	case valid && j.Token.State == messages.Suspect:
		j.add(Token, messages.ReadyWarning, "none is needed while data comes; else: kitestring token validate", "generation %d, accepted at %s, the last check had no answer: %s", j.Token.Generation, at, strings.TrimRight(j.Token.Reason, ". "))
	case valid:
		j.add(Token, messages.ReadyOK, "", "Kite accepted generation %d at %s today", j.Token.Generation, at)
	case !j.due() || j.Now.Before(flushed):
		j.add(Token, messages.ReadyNotDue, "", "a login is due after 06:00 of the next trading day")
	case j.Token.State == messages.Unverified:
		j.add(Token, messages.ReadyWaiting, "", "generation %d is being checked", j.Token.Generation)
	default:
		j.add(Token, messages.ReadyMissing, fix, "%s", strings.TrimRight(j.Token.Reason, ". "))
	}
}

func (j *judge) rest() {
	const stop = "stop the other program that uses this API key, or let it ask through the gateway"
	switch {
	case j.Refusing:
		j.add(REST, messages.ReadyMissing, stop, "Kite refuses requests as too many (429), although this server keeps to the limits")
		return
	case j.Throttled > 0 && j.Throttled < throttled:
		j.add(REST, messages.ReadyWarning, stop, "Kite refused a request as one too many (429) in the last minutes, although this server keeps to the limits")
		return
	}
	j.add(REST, messages.ReadyOK, "", "Kite has refused no request as one too many (429) in the last minutes")
}

func (j *judge) instruments() {
	if j.FileDay.IsZero() || !j.FileDay.Equal(j.FileWant) {
		if j.waits(Instruments, Token) {
			return
		}
	}
	want := j.FileWant.Format(time.DateOnly)
	switch {
	case j.FileDay.IsZero():
		j.add(Instruments, messages.ReadyMissing, "look for the reason: kitestring status; it is fetched again by itself", "the instruments file of %s is not there yet", want)
	case !j.FileDay.Equal(j.FileWant):
		j.add(Instruments, messages.ReadyMissing, "look for the reason: kitestring status; it is fetched again by itself", "the instruments file of %s serves, that of %s is not there yet", j.FileDay.Format(time.DateOnly), want)
	case len(j.FileGaps) > 0:
		j.add(Instruments, messages.ReadyMissing, "none is needed while it is fetched again; after that: kitestring restart instruments", "the instruments file of %s is not whole: %s", want, strings.Join(j.FileGaps, "; "))
	default:
		j.add(Instruments, messages.ReadyOK, "", "the instruments file of %s is in use", want)
	}
}

func (j *judge) expiry() {
	if j.waits(Expiry, Instruments) {
		return
	}
	today := ist.Day(j.Now)
	var ended, said []string
	for _, u := range j.Underlyings {
		switch {
		case u.Future.Token == 0:
			ended = append(ended, u.Name+" has no future: "+strings.TrimRight(u.Reason, ". "))
		case u.Future.Expiry.Before(today):
			ended = append(ended, u.Future.Tradingsymbol+" has ended")
		case u.Future.Expiry.Equal(today):
			said = append(said, u.Future.Tradingsymbol+" ends today and rolls after its last session")
		default:
			said = append(said, u.Future.Tradingsymbol+" to "+u.Future.Expiry.In(ist.Zone).Format("2 Jan"))
		}
		if !u.Expiry.IsZero() && u.Expiry.Before(today) {
			ended = append(ended, "the option chain of "+u.Name+" has ended")
		}
	}
	if len(ended) > 0 {
		j.add(Expiry, messages.ReadyMissing, "kitestring restart instruments; if that does not help, look whether Kite's file lists the next contract", "%s", strings.Join(ended, "; "))
		return
	}
	j.add(Expiry, messages.ReadyOK, "", "%s", strings.Join(said, ", "))
}

func (j *judge) socket() {
	if len(j.Shards) == 0 || j.anyDown() != "" {
		if j.waits(Socket, Token) {
			return
		}
	}
	down := j.anyDown()
	if len(j.Shards) == 0 {
		down = "no socket is open"
	}
	if down != "" {
		j.add(Socket, messages.ReadyMissing, "it is dialled again by itself; if it stays: kitestring doctor", "%s", down)
		return
	}
	j.add(Socket, messages.ReadyOK, "", "%d of %d sockets stream", len(j.Shards), len(j.Shards))
}

func (j *judge) anyDown() string {
	var down []string
	for _, s := range j.Shards {
		switch {
		case s.State != messages.Streaming:
			down = append(down, fmt.Sprintf("socket %d is in state %s%s", s.Shard, s.State, because(s.Reason)))
		case s.Silent > deadAfter:
			down = append(down, fmt.Sprintf("socket %d has been silent for %s", s.Shard, s.Silent.Round(time.Second)))
		}
	}
	return strings.Join(down, "; ")
}

func (j *judge) firstPacket() {
	if j.waits(FirstPacket, Socket) {
		return
	}
	state, fix, said := messages.ReadyOK, "", []string{}
	for _, s := range j.Shards {
		said = append(said, fmt.Sprintf("socket %d: %d of %d instruments", s.Shard, s.Arrived, s.Wanted))
		switch {
		case s.Wanted == 0 || s.Arrived > 0:
		case s.Streams < firstAfter:
			state = min(state, messages.ReadyWaiting)
		default:
			state, fix = messages.ReadyMissing, "kitestring restart feed; if it stays, log in again: Kite may stream nothing to this session"
		}
	}
	j.add(FirstPacket, state, fix, "a packet has come of %s", strings.Join(said, ", "))
}

func (j *judge) chain() {
	if j.waits(Chain, Instruments) || j.waits(Chain, FirstPacket) {
		return
	}
	var missing, said []string
	for _, u := range j.Underlyings {
		if len(u.Chain) == 0 {
			missing = append(missing, u.Name+" has no option chain"+because(u.Reason))
			continue
		}
		said = append(said, fmt.Sprintf("%s %d options to %s", u.Name, len(u.Chain), u.Expiry.In(ist.Zone).Format("2 Jan")))
	}
	if len(missing) > 0 && slices.ContainsFunc(j.Shards, func(s Shard) bool { return s.Streams < firstAfter }) {
		j.add(Chain, messages.ReadyWaiting, "", "%s", strings.Join(missing, "; "))
		return
	}
	if len(missing) > 0 {
		j.add(Chain, messages.ReadyMissing, "look whether its index ticks (kitestring status) and Kite's file lists its options; then: kitestring restart instruments", "%s", strings.Join(missing, "; "))
		return
	}
	j.add(Chain, messages.ReadyOK, "", "%s", strings.Join(said, ", "))
}

func (j *judge) capacity() {
	switch {
	case len(j.Refused) > 0:
		j.add(Capacity, messages.ReadyMissing, "ask for less in the configuration or the gateway's clients: kitestring status names what is refused",
			"%d wanted instruments are not subscribed, the first: %s", len(j.Refused), j.Refused[0])
	case j.Wanted > j.Room:
		j.add(Capacity, messages.ReadyWarning, "ask for "+fmt.Sprint(j.Room)+" instruments or fewer", "%d instruments fill all three sockets: a new token takes over with a gap of a moment", j.Wanted)
	default:
		j.add(Capacity, messages.ReadyOK, "", "%d of %d instruments that move to a new token without a gap", j.Wanted, j.Room)
	}
}

func (j *judge) part(name string, p Part) {
	switch {
	case !p.On:
		j.add(name, messages.ReadyOff, "", "it is not set up")
	case p.Fault != "":
		j.add(name, messages.ReadyMissing, p.Fix, "%s", p.Fault)
	case p.Wait != "":
		j.add(name, messages.ReadyWaiting, "", "%s", p.Wait)
	case p.Warning != "":
		j.add(name, messages.ReadyWarning, p.Fix, "%s", p.Warning)
	default:
		j.add(name, messages.ReadyOK, "", "%s", p.Detail)
	}
}

func (j *judge) reminder() {
	c := j.Channels
	switch {
	case len(c.Failed) > 0:
		j.add(Reminder, messages.ReadyMissing, "correct its keys in the .env file (README, Reminders before the open)", "a person was not reached over %s", strings.Join(c.Failed, "; "))
	case len(c.SetUp) == 0 && len(c.Warnings) == 0:
		j.add(Reminder, messages.ReadyOff, "", "no person is reminded: none of NTFY_URL, TELEGRAM_BOT_TOKEN, WEBHOOK_URL is in the .env file")
	case len(c.SetUp) == 0:
		j.add(Reminder, messages.ReadyMissing, "correct its keys in the .env file (README, Reminders before the open)", "no person is reminded: %s", strings.Join(c.Warnings, "; "))
	case len(c.Warnings) > 0:
		j.add(Reminder, messages.ReadyWarning, "correct its keys in the .env file (README, Reminders before the open)", "%s", strings.Join(c.Warnings, "; "))
	case len(c.Tried) == 0:
		j.add(Reminder, messages.ReadyOK, "", "%s set up, not used since the start", strings.Join(c.SetUp, ", "))
	default:
		j.add(Reminder, messages.ReadyOK, "", "%s set up, %s has answered", strings.Join(c.SetUp, ", "), strings.Join(c.Tried, ", "))
	}
}

func because(reason string) string {
	if reason = strings.TrimRight(strings.TrimSpace(reason), ". "); reason == "" {
		return ""
	}
	return ": " + reason
}
