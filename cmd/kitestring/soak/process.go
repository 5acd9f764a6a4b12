package soak

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a kitestring that we started.
type process struct {
	name  string
	cmd   *exec.Cmd
	first chan string // its first line of output
	ended chan struct{}
	log   string // the file with its log
}

// start starts a kitestring. The environment is empty but for PATH, so that no
// credentials or addresses of the person who runs the soak get into it.
func start(o Options, name string, args ...string) (*process, error) {
	program := o.Program
	if program == "" {
		var err error
		if program, err = os.Executable(); err != nil {
			return nil, fmt.Errorf("find the program itself: %w", err)
		}
	}
	p := &process{name: name, first: make(chan string, 1), ended: make(chan struct{}), log: filepath.Join(o.Dir, name+".log")}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, fmt.Errorf("keep the log of %s: %w", name, err)
	}
	defer log.Close() // the process has its own
	p.cmd = exec.Command(program, args...)
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, o.Env...)
	p.cmd.Stderr = log
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		defer close(p.ended)
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			if n == 0 {
				p.first <- lines.Text()
			}
		}
		_ = p.cmd.Wait()
	}()
	return p, nil
}

// firstLine waits for what the process says first.
func (p *process) firstLine(d time.Duration) (string, error) {
	timeout := time.NewTimer(d)
	defer timeout.Stop()
	select {
	case line := <-p.first:
		return line, nil
	case <-p.ended:
		return "", fmt.Errorf("%s ended at once: %s", p.name, p.lastWords())
	case <-timeout.C:
		return "", fmt.Errorf("%s said nothing within %s: %s", p.name, d, p.lastWords())
	}
}

// stop ends the process, by force when it does not end by itself.
func (p *process) stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	timeout := time.NewTimer(20 * time.Second)
	defer timeout.Stop()
	select {
	case <-p.ended:
	case <-timeout.C:
		_ = p.cmd.Process.Kill()
		<-p.ended
		return fmt.Errorf("%s did not stop within 20 s", p.name)
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 && code != 130 {
		return fmt.Errorf("%s ended with %d: %s", p.name, code, p.lastWords())
	}
	return nil
}

// lastWords are the last lines of its log.
func (p *process) lastWords() string {
	text, _ := os.ReadFile(p.log)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-3):], " | ")
}

// kernelView is what the kernel knows of a process.
type kernelView struct {
	cpu time.Duration // user and system
	rss int64         // bytes
	fds int
}

// userHZ is the unit of times in /proc: 1/100 s on every Linux platform of Go.
const userHZ = 100

func (p *process) kernel() (kernelView, error) {
	proc := "/proc/" + strconv.Itoa(p.cmd.Process.Pid)
	stat, err := os.ReadFile(proc + "/stat")
	if err != nil {
		return kernelView{}, fmt.Errorf("%s is gone: %s", p.name, p.lastWords())
	}
	fds, err := os.ReadDir(proc + "/fd")
	if err != nil {
		return kernelView{}, fmt.Errorf("count the files of %s: %w", p.name, err)
	}
	v, err := parseStat(string(stat))
	v.fds = len(fds)
	return v, err
}

// parseStat reads /proc/PID/stat (proc(5)): fields 14 and 15 are the CPU time,
// 24 is the resident set in pages; the name before may hold anything.
func parseStat(stat string) (kernelView, error) {
	at := strings.LastIndexByte(stat, ')')
	fields := strings.Fields(stat[at+1:])
	if at < 0 || len(fields) < 22 {
		return kernelView{}, fmt.Errorf("/proc/PID/stat is not as expected: %q", stat)
	}
	var n [3]int64
	for i, field := range []int{14, 15, 24} {
		var err error
		if n[i], err = strconv.ParseInt(fields[field-3], 10, 64); err != nil {
			return kernelView{}, fmt.Errorf("/proc/PID/stat: field %d: %w", field, err)
		}
	}
	return kernelView{cpu: time.Duration(n[0]+n[1]) * time.Second / userHZ, rss: n[2] * int64(os.Getpagesize())}, nil
}

// machineCPU is the time that all processes of the machine have taken.
func machineCPU() time.Duration {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(text), "\n")
	fields := strings.Fields(line)
	busy := int64(0)
	for i, f := range fields {
		// user nice system idle iowait irq softirq steal
		if n, err := strconv.ParseInt(f, 10, 64); err == nil && slices.Contains([]int{1, 2, 3, 6, 7}, i) {
			busy += n
		}
	}
	return time.Duration(busy) * time.Second / userHZ
}
