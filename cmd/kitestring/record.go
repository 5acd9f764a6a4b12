package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kitestring/actors/replay"
	"kitestring/actors/tape"
	"kitestring/cmd/kitestring/cli"
	"kitestring/messages/ist"
)

// recordFlags say which recording a command works on.
type recordFlags struct {
	stateDir, profile string
	json              bool
}

func recordCommand(p *cli.Program) *cobra.Command {
	c := &cobra.Command{
		Use: "record", Short: "What the server has recorded: list, check, keep, delete, cut, compare and judge it",
		Long: `A server records every frame that Kite sends, in segments of up to 15 minutes
below STATE_DIR/record. These commands work on the files, with or without a
server; "kitestring export" makes Parquet and CSV of them.

A file that is damaged, by a crash or by its disk, is read up to the damage.`,
		Args: cli.Args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(recordStatusCommand(p), recordListCommand(p), recordVerifyCommand(p), recordKeepCommand(p), recordPruneCommand(p), recordCutCommand(p), recordCompareCommand(p), recordReadingsCommand(p))
	return c
}

// add adds the flags that name a recording.
func (f *recordFlags) add(p *cli.Program, c *cobra.Command) *cobra.Command {
	f.names(p, c)
	c.Flags().BoolVar(&f.json, "json", false, "print JSON")
	return c
}

func (f *recordFlags) names(p *cli.Program, c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.stateDir, "state-dir", p.StateDir("", ".env"), "the server's --state-dir")
	flags.StringVar(&f.profile, "profile", "", "live, sandbox or sim: whose recording (default: the one that there is, live before the others)")
}

// directory is the recording that the flags name.
func (f *recordFlags) directory() (*tape.Directory, error) {
	if f.profile != "" {
		if err := cli.CheckProfile(f.profile); err != nil || f.profile == "auto" {
			return nil, cli.Misuse("--profile %q: it is live, sandbox or sim", f.profile)
		}
		return tape.Open(tape.Folder(f.stateDir, f.profile)), nil
	}
	if _, err := os.Stat(f.stateDir); err != nil {
		return nil, cli.Misuse("--state-dir %s: %w; name the folder that the server was started with", f.stateDir, cli.Cause(err))
	}
	for _, profile := range []string{"live", "sandbox", "sim"} {
		dir := tape.Open(tape.Folder(f.stateDir, profile))
		if days, err := dir.Days(); err != nil || len(days) > 0 {
			f.profile = profile
			return dir, explained(err)
		}
	}
	f.profile = "live"
	return tape.Open(tape.Folder(f.stateDir, f.profile)), nil
}

// explained adds to an error of a file what a person can do.
func explained(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w; run this as the user that the server runs as", err)
	}
	return err
}

// recorded is what is on disk, in the fields that every record command prints.
type recorded struct {
	Segments     int        `json:"segments"`
	Ticks        int64      `json:"ticks"`
	Frames       int64      `json:"frames"`
	Events       int64      `json:"events"`
	Bytes        int64      `json:"bytes"`         // of the files
	DamagedBytes int64      `json:"damaged_bytes"` // of them, what no reader takes
	From         *time.Time `json:"from"`          // receipt of the first record
	To           *time.Time `json:"to"`
}

// add counts a segment by the headers of its blocks.
func (r *recorded) add(s tape.Segment) error {
	x, err := s.Index()
	if errors.Is(err, fs.ErrNotExist) {
		return nil // deleted meanwhile
	}
	if err != nil {
		return explained(err)
	}
	r.count(s, x.Counts)
	if x.Blocks > 0 && (r.From == nil || x.First.Before(*r.From)) {
		r.From = new(x.First.UTC())
	}
	if x.Blocks > 0 && (r.To == nil || x.Last.After(*r.To)) {
		r.To = new(x.Last.UTC())
	}
	return nil
}

func (r *recorded) count(s tape.Segment, valid tape.Counts) {
	r.Segments++
	r.Ticks += valid.Ticks
	r.Frames += valid.Frames
	r.Events += valid.Events
	r.Bytes += s.Bytes
	if !s.Open {
		r.DamagedBytes += max(0, s.Bytes-valid.Bytes)
	}
}

// recordedDay is a line of "record ls".
type recordedDay struct {
	Day string `json:"day"`
	recorded
	Kept        bool `json:"kept"`
	Instruments bool `json:"instruments"` // the day's instruments file is there
}

func listDays(dir *tape.Directory) ([]recordedDay, error) {
	days, err := dir.Days()
	if err != nil {
		return nil, explained(err)
	}
	list := []recordedDay{}
	for _, day := range days {
		d := recordedDay{Day: day.Day, Kept: day.Kept}
		if f, err := dir.InstrumentsFile(day.Day); err == nil {
			d.Instruments = true
			_ = f.Close()
		}
		for _, s := range day.Segments {
			if err := d.add(s); err != nil {
				return nil, err
			}
		}
		list = append(list, d)
	}
	return list, nil
}

func recordListCommand(p *cli.Program) *cobra.Command {
	var f recordFlags
	return f.add(p, &cobra.Command{
		Use: "ls", Short: "The days that are recorded",
		Long: `The days that are recorded, oldest first. Counts are what the headers of the
blocks say; "kitestring record verify" reads the blocks too.`,
		Args: cli.Args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			dir, err := f.directory()
			if err != nil {
				return err
			}
			days, err := listDays(dir)
			if err != nil {
				return err
			}
			if f.json {
				return p.PrintJSON(days)
			}
			if len(days) == 0 {
				fmt.Fprintf(p.Stdout, "nothing is recorded in %s\n", dir.Path())
				return nil
			}
			t := &cli.Table{
				Head:  []string{"DAY", "FROM (IST)", "TO", "SEGMENTS", "FRAMES", "TICKS", "SIZE", "B/TICK", "KEPT", "DAMAGED"},
				Ranks: []int{0, 0, 0, 3, 3, 0, 0, 2, 1, 0},
			}
			for _, d := range days {
				t.Addf("%s\t%s\t%s\t%d\t%d\t%d\t%s\t%s\t%s\t%s", d.Day, clock(d.From), clock(d.To), d.Segments, d.Frames, d.Ticks, bytesOf(d.Bytes),
					perTick(d.Bytes, d.Ticks), yes(d.Kept), damaged(d.DamagedBytes))
			}
			return p.Print(t)
		},
	})
}

func clock(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.In(ist.Zone).Format(time.TimeOnly)
}

func bytesOf(bytes int64) string {
	switch {
	case bytes >= 1e9:
		return fmt.Sprintf("%.1f GB", float64(bytes)/1e9)
	case bytes >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(bytes)/1e6)
	default:
		return fmt.Sprintf("%.1f kB", float64(bytes)/1e3)
	}
}

func perTick(bytes, ticks int64) string {
	if ticks == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f", float64(bytes)/float64(ticks))
}

func yes(v bool) string {
	if v {
		return "yes"
	}
	return "-"
}

func damaged(bytes int64) string {
	if bytes == 0 {
		return "-"
	}
	return bytesOf(bytes)
}

// verified is the answer of "record verify".
type verified struct {
	OK bool `json:"ok"`
	recorded
	Days   []string      `json:"days"`
	Damage []tape.Damage `json:"damage"`
}

func recordVerifyCommand(p *cli.Program) *cobra.Command {
	var f recordFlags
	return f.add(p, &cobra.Command{
		Use: "verify [DAY|FILE]...", Short: "Read everything that is recorded and compare its checksums",
		Long: `Read days (2026-11-27) or files, all days by default, and compare the checksum
and the content of each block. The block that a server is writing now is no
damage.

Exit code 1 when something is damaged. What stands before the damage in a file
is good, and every command uses it.`,
		Args: cli.Args(cobra.ArbitraryArgs),
		RunE: func(c *cobra.Command, args []string) error {
			v := verified{Days: []string{}, Damage: []tape.Damage{}}
			segments, err := f.segments(args, &v.Days)
			if err != nil {
				return err
			}
			bar := p.Progress("reading", total(segments))
			for _, s := range segments {
				if err := c.Context().Err(); err != nil {
					return err
				}
				if err := v.read(s, bar); err != nil {
					bar.End()
					return err
				}
			}
			bar.End()
			v.OK = len(v.Damage) == 0
			if f.json {
				err = p.PrintJSON(v)
			} else {
				printVerified(p, v)
			}
			if err == nil && !v.OK {
				err = cli.Exit(cli.ExitError, nil)
			}
			return err
		},
	})
}

func (v *verified) read(s tape.Segment, bar *cli.ProgressBar) error {
	counts, damage, err := tape.ReadFile(s.Path, func(records []tape.Record) error {
		for i := range records {
			at := records[i].At.UTC()
			if v.From == nil || at.Before(*v.From) {
				v.From = &at
			}
			if v.To == nil || at.After(*v.To) {
				v.To = &at
			}
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil // deleted meanwhile
	}
	if err != nil {
		return explained(err)
	}
	v.count(s, counts)
	if damage != nil && !s.Open {
		v.Damage = append(v.Damage, *damage)
	}
	bar.Add(s.Bytes)
	return nil
}

func printVerified(p *cli.Program, v verified) {
	for _, d := range v.Damage {
		fmt.Fprintf(p.Stdout, "DAMAGED %s: %s at byte %d; the %d bytes from there on are left out\n", d.Path, d.Reason, d.Offset, d.Bytes)
	}
	fmt.Fprintf(p.Stdout, "%d segments, %d frames, %d ticks, %s (%s B a tick), %s damaged\n", v.Segments, v.Frames, v.Ticks, bytesOf(v.Bytes), perTick(v.Bytes, v.Ticks), bytesOf(v.DamagedBytes))
}

func total(segments []tape.Segment) (bytes int64) {
	for _, s := range segments {
		bytes += s.Bytes
	}
	return bytes
}

// segments are those of days and files; no argument: of all days.
func (f *recordFlags) segments(args []string, days *[]string) (all []tape.Segment, err error) {
	var dir *tape.Directory
	if len(args) == 0 {
		if dir, err = f.directory(); err != nil {
			return nil, err
		}
		recorded, err := dir.Days()
		if err != nil {
			return nil, explained(err)
		}
		for _, day := range recorded {
			*days = append(*days, day.Day)
			all = append(all, day.Segments...)
		}
		return all, nil
	}
	for _, arg := range args {
		if _, err := time.Parse(time.DateOnly, arg); err == nil {
			if dir == nil {
				if dir, err = f.directory(); err != nil {
					return nil, err
				}
			}
			day, err := dir.Day(arg)
			if err != nil {
				return nil, noDay(dir, err)
			}
			*days = append(*days, arg)
			all = append(all, day.Segments...)
			continue
		}
		list, err := tape.SegmentsOf(arg)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, cli.Misuse("%q is neither a day, like 2026-11-27, nor a file", arg)
		}
		if err != nil {
			return nil, explained(err)
		}
		all = append(all, list...)
	}
	return all, nil
}

// noDay names the days that there are.
func noDay(dir *tape.Directory, err error) error {
	if !errors.Is(err, tape.ErrNoDay) {
		return explained(err)
	}
	days, _ := dir.Days()
	var names []string
	for _, d := range days[max(0, len(days)-7):] {
		names = append(names, d.Day)
	}
	have := "none"
	if len(names) > 0 {
		have = strings.Join(names, ", ")
	}
	return cli.Misuse("%w in %s; recorded: %s", err, dir.Path(), have)
}

func recordKeepCommand(p *cli.Program) *cobra.Command {
	var f recordFlags
	var off bool
	c := f.add(p, &cobra.Command{
		Use: "keep DAY", Short: "Keep a day from being deleted by age or size",
		Args: cli.Args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			dir, err := f.directory()
			if err != nil {
				return err
			}
			if err := dir.Keep(args[0], !off); err != nil {
				return noDay(dir, err)
			}
			if f.json {
				return p.PrintJSON(map[string]any{"day": args[0], "kept": !off})
			}
			if off {
				fmt.Fprintf(p.Stdout, "%s is deleted when its time comes\n", args[0])
			} else {
				fmt.Fprintf(p.Stdout, "%s is kept; \"kitestring record keep --off %s\" ends that\n", args[0], args[0])
			}
			return nil
		},
	})
	c.Flags().BoolVar(&off, "off", false, "keep it no longer")
	return c
}

// deleted is the answer of "record prune".
type deletedSegments struct {
	Segments int      `json:"segments"`
	Bytes    int64    `json:"bytes"`
	Paths    []string `json:"paths"`
	DryRun   bool     `json:"dry_run"`
}

func recordPruneCommand(p *cli.Program) *cobra.Command {
	var f recordFlags
	var days int
	var gigabytes float64
	var dry bool
	c := f.add(p, &cobra.Command{
		Use: "prune", Short: "Delete what is older or more than is kept",
		Long: `Delete what the server would delete: segments older than --days days, and the
oldest ones above --gigabytes. Days that are kept ("kitestring record keep") and
the segment that a server writes stay.`,
		Args: cli.Args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if days < 1 || gigabytes < 0 {
				return cli.Misuse("--days is at least 1, and --gigabytes not negative")
			}
			dir, err := f.directory()
			if err != nil {
				return err
			}
			_, disk, err := tape.Space(dir.Path())
			if err != nil {
				return explained(err)
			}
			keep := tape.DefaultRetention(disk)
			keep.Days = days
			if c.Flags().Changed("gigabytes") {
				keep.Bytes = max(1, int64(gigabytes*1e9))
			}
			list, err := dir.Prune(time.Now(), keep, dry)
			if err != nil {
				return explained(err)
			}
			d := deletedSegments{Segments: len(list), Bytes: total(list), Paths: []string{}, DryRun: dry}
			for _, s := range list {
				d.Paths = append(d.Paths, s.Path)
			}
			if f.json {
				return p.PrintJSON(d)
			}
			for _, path := range d.Paths {
				fmt.Fprintln(p.Stdout, path)
			}
			word := "deleted"
			if dry {
				word = "would be deleted"
			}
			fmt.Fprintf(p.Stdout, "%d segments, %s: %s\n", d.Segments, bytesOf(d.Bytes), word)
			return nil
		},
	})
	c.Flags().IntVar(&days, "days", 7, "days that stay, today included")
	c.Flags().Float64Var(&gigabytes, "gigabytes", 0, "size that stays (default: 20 GB or a fifth of the disk)")
	c.Flags().BoolVar(&dry, "dry-run", false, "name what would be deleted, and delete nothing")
	return c
}

func recordCutCommand(p *cli.Program) *cobra.Command {
	var f recordFlags
	var from, to, out string
	c := f.add(p, &cobra.Command{
		Use: "cut DAY|FILE --from 09:15 --to 09:20 -o FILE", Short: "Copy a part of a day into one file, to attach it or to replay it",
		Args: cli.Args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if from == "" || to == "" || out == "" {
				return cli.Misuse("--from, --to or -o is missing; for example: kitestring record cut 2026-11-27 --from 09:15 --to 09:20 -o open.ks")
			}
			var days []string
			segments, err := f.segments(args, &days)
			if err != nil {
				return err
			}
			first, err := moment("--from", from, segments, args[0])
			if err != nil {
				return err
			}
			last, err := moment("--to", to, segments, args[0])
			if err != nil {
				return err
			}
			if !first.Before(last) {
				return cli.Misuse("--from %s is not before --to %s", from, to)
			}
			counts, damage, err := tape.Cut(segments, first, last, out)
			if errors.Is(err, fs.ErrExist) {
				return cli.Misuse("%s is there already; name a new file", out)
			}
			if err != nil {
				return explained(err)
			}
			if f.json {
				return p.PrintJSON(map[string]any{"file": out, "frames": counts.Frames, "ticks": counts.Ticks, "events": counts.Events, "bytes": counts.Bytes, "damage": append([]tape.Damage{}, damage...)})
			}
			fmt.Fprintf(p.Stdout, "%s: %d frames, %d ticks, %s\n", out, counts.Frames, counts.Ticks, bytesOf(counts.Bytes))
			return nil
		},
	})
	c.Flags().StringVar(&from, "from", "", "first moment, IST: 09:15 or 09:15:30, or 2026-11-27T09:15:00+05:30")
	c.Flags().StringVar(&to, "to", "", "last moment")
	c.Flags().StringVarP(&out, "output", "o", "", "the new file")
	return c
}

// moment is a time of the day that is recorded, or a whole time.
func moment(flag, text string, segments []tape.Segment, arg string) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	day, err := time.ParseInLocation(time.DateOnly, arg, ist.Zone)
	for i := 0; err != nil && i < len(segments); i++ {
		var x tape.Index
		if x, err = segments[i].Index(); err == nil && x.Blocks > 0 {
			day = ist.Day(x.First)
		}
	}
	for _, layout := range []string{"15:04", time.TimeOnly} {
		if t, parsed := time.Parse(layout, text); parsed == nil && err == nil {
			return ist.At(day, t.Hour(), t.Minute(), t.Second()), nil
		}
	}
	return time.Time{}, cli.Misuse("%s %q: spell it 09:15 or 09:15:30 (IST), or 2026-11-27T09:15:00+05:30", flag, text)
}

// comparison is the answer of "record compare".
type comparison struct {
	Equal       bool           `json:"equal"`
	Differing   int            `json:"differing"` // instruments
	Instruments []comparedHash `json:"instruments"`
}

type comparedHash struct {
	InstrumentToken uint32    `json:"instrument_token"`
	Packets         [2]int64  `json:"packets"`
	SHA256          [2]string `json:"sha256"` // "": none there
	Equal           bool      `json:"equal"`
}

func recordCompareCommand(p *cli.Program) *cobra.Command {
	var f recordFlags
	return f.add(p, &cobra.Command{
		Use: "compare A B", Short: "Compare two recordings: a SHA-256 of each instrument's packets",
		Long: `Compare two recordings, each a day (2026-11-27), a file, or the folder of a day
(STATE_DIR/record/sim/day=2026-11-27): a SHA-256 of each instrument's packets, in
the order of recording. What two sockets brought at the same time, in the swap of
a rotation, counts once.

Exit code 1 when an instrument differs.`,
		Args: cli.Args(cobra.ExactArgs(2)),
		RunE: func(c *cobra.Command, args []string) error {
			var hashes [2]map[uint32]replay.Hash
			for i, arg := range args {
				var days []string
				segments, err := f.segments([]string{arg}, &days)
				if err != nil {
					return err
				}
				var damage []tape.Damage
				if hashes[i], damage, err = replay.Hashes(segments); err != nil {
					return explained(err)
				}
				for _, d := range damage {
					fmt.Fprintf(p.Stderr, "damaged: %s: %s at byte %d; the rest of it is left out\n", d.Path, d.Reason, d.Offset)
				}
			}
			r := comparison{Instruments: []comparedHash{}}
			both := maps.Clone(hashes[0])
			maps.Copy(both, hashes[1])
			for _, token := range slices.Sorted(maps.Keys(both)) {
				a, b := hashes[0][token], hashes[1][token]
				line := comparedHash{token, [2]int64{a.Packets, b.Packets}, [2]string{a.SHA256, b.SHA256}, a == b}
				if !line.Equal {
					r.Differing++
				}
				r.Instruments = append(r.Instruments, line)
			}
			r.Equal = r.Differing == 0
			if f.json {
				if err := p.PrintJSON(r); err != nil {
					return err
				}
			} else {
				printComparison(p, r)
			}
			if !r.Equal {
				return cli.Exit(cli.ExitError, nil)
			}
			return nil
		},
	})
}

func printComparison(p *cli.Program, r comparison) {
	for _, i := range r.Instruments {
		if i.Equal {
			fmt.Fprintf(p.Stdout, "%10d  %9d packets  %s  equal\n", i.InstrumentToken, i.Packets[0], i.SHA256[0])
			continue
		}
		for n, side := range []string{"A", "B"} {
			fmt.Fprintf(p.Stdout, "%10d  %9d packets  %s  DIFFERS, in %s\n", i.InstrumentToken, i.Packets[n], cmp.Or(i.SHA256[n], strings.Repeat("-", 64)), side)
		}
	}
	fmt.Fprintf(p.Stdout, "%d instruments, %d differ\n", len(r.Instruments), r.Differing)
}

// recordStatus is the answer of "record status" without a server.
type recordStatus struct {
	State     string `json:"state"` // recording: another process holds the directory; stopped
	Profile   string `json:"profile"`
	Directory string `json:"directory"`
	recorded
	Days          int   `json:"days"`
	DiskFreeBytes int64 `json:"disk_free_bytes"`
}

func recordStatusCommand(p *cli.Program) *cobra.Command {
	var f recordFlags
	c := p.Reading(&cobra.Command{
		Use: "status", Short: "What is recorded now: state, size, age and losses",
		Long: `What a running server records: state, size, age and what it had to drop. With
--state-dir, and where no server answers, it is what the directory holds.`,
		Args: cli.Args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if !c.Flags().Changed("state-dir") {
				asJSON := p.JSON
				p.JSON = false
				var status struct {
					Record json.RawMessage `json:"record"`
				}
				err := p.Get(c.Context(), "/api/v1/status", &status)
				var exit *cli.ExitWith
				switch {
				case err == nil:
					return printRecordStatus(p, status.Record, asJSON)
				case !errors.As(err, &exit) || exit.Code != cli.ExitUnreachable:
					return err
				}
				if _, missing := os.Stat(f.stateDir); missing != nil {
					return err
				}
				p.JSON = asJSON
			}
			dir, err := f.directory()
			if err != nil {
				return err
			}
			path, err := filepath.Abs(dir.Path())
			if err != nil {
				return err
			}
			s := recordStatus{State: "stopped", Profile: f.profile, Directory: path}
			days, err := dir.Days()
			if err != nil {
				return explained(err)
			}
			s.Days = len(days)
			for _, day := range days {
				for _, segment := range day.Segments {
					if segment.Open {
						s.State = "recording"
					}
					if err := s.add(segment); err != nil {
						return err
					}
				}
			}
			if s.DiskFreeBytes, _, err = tape.Space(path); err != nil {
				return explained(err)
			}
			text, err := json.Marshal(s)
			if err != nil {
				return err
			}
			return printRecordStatus(p, text, p.JSON)
		},
	})
	c.Flags().StringVar(&f.stateDir, "state-dir", p.StateDir("", ".env"), "a server's --state-dir, to look at its files instead of asking it")
	c.Flags().StringVar(&f.profile, "profile", "", "with --state-dir: live, sandbox or sim")
	return c
}

// printRecordStatus prints one JSON object as it is, or a line for each of its
// fields.
func printRecordStatus(p *cli.Program, object json.RawMessage, asJSON bool) error {
	if asJSON {
		_, err := fmt.Fprintf(p.Stdout, "%s\n", object)
		return err
	}
	var fields map[string]any
	if err := json.Unmarshal(object, &fields); err != nil || fields == nil {
		return cli.Exit(cli.ExitError, errors.New("this server does not record"))
	}
	w := p.Rows(p.Stdout)
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		value := fields[name]
		if n, number := value.(float64); number && strings.HasSuffix(name, "bytes") {
			value = bytesOf(int64(n))
		} else if number {
			value = int64(n)
		}
		if value == nil {
			value = "-"
		}
		fmt.Fprintf(w, "%s\t%v\n", strings.ReplaceAll(name, "_", " "), value)
	}
	return w.Flush()
}
