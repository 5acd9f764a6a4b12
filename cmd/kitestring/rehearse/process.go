package rehearse

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
)

// process is a kitestring that the rig started.
type process struct {
	name  string
	cmd   *exec.Cmd
	first chan string // its first line of output
	ended chan struct{}
	log   string // the file with everything that it wrote
}

// start starts a kitestring. The environment is empty but for PATH and env, so
// that no credentials or addresses of the caller get into it. stderr is nil for
// the log file. The end of the drill stops it.
func (r *Rig) start(name string, env []string, stderr *os.File, args ...string) *process {
	program := r.options.Binary
	if program == "" {
		program = must(os.Executable())
	}
	p := &process{name: name, first: make(chan string, 1), ended: make(chan struct{}), log: filepath.Join(r.Dir, name+".log")}
	log := must(os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600))
	p.cmd = exec.Command(program, args...)
	p.cmd.Env = slices.Concat([]string{"PATH=" + os.Getenv("PATH")}, r.options.Env, env)
	p.cmd.Stderr = log
	if stderr != nil {
		p.cmd.Stderr = stderr
	}
	out := must(p.cmd.StdoutPipe())
	if err := p.cmd.Start(); err != nil {
		failf("start %s: %w", name, err)
	}
	go func() {
		defer close(p.ended)
		defer log.Close()
		lines := bufio.NewReader(io.TeeReader(out, log))
		if line, err := lines.ReadString('\n'); err == nil {
			p.first <- strings.TrimSpace(line)
		}
		_, _ = io.Copy(io.Discard, lines)
		_ = p.cmd.Wait()
	}()
	r.cleanup(p.stop)
	return p
}

// firstLine waits for the first line that the process prints.
func (p *process) firstLine() string {
	timeout := time.NewTimer(30 * time.Second)
	defer timeout.Stop()
	select {
	case line := <-p.first:
		return line
	case <-p.ended:
		failf("%s ended at once: %s", p.name, p.lastLines())
	case <-timeout.C:
		failf("%s printed nothing within 30 s: %s", p.name, p.lastLines())
	}
	return ""
}

// kill ends the process as a power failure does.
func (p *process) kill() {
	check(p.cmd.Process.Kill())
	<-p.ended
}

// stop ends the process, by force when it does not end by itself.
func (p *process) stop() {
	select {
	case <-p.ended:
		return
	default:
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	timeout := time.NewTimer(20 * time.Second)
	defer timeout.Stop()
	select {
	case <-p.ended:
	case <-timeout.C:
		p.kill()
		failf("%s did not stop within 20 s", p.name)
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 && code != 130 {
		failf("%s ended with %d: %s", p.name, code, p.lastLines())
	}
}

// output is what the process has written so far.
func (p *process) output() []byte {
	text, _ := os.ReadFile(p.log)
	return text
}

func (p *process) lastLines() string {
	lines := bytes.Split(bytes.TrimSpace(p.output()), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-3):], []byte(" | ")))
}

// folder is a rig for a server process in a folder of its own.
func (r *Rig) folder(name string) *Rig {
	s := r.sibling(filepath.Join(r.Dir, name))
	if err := os.Mkdir(s.Dir, 0o700); !errors.Is(err, os.ErrExist) {
		check(err)
	}
	return s
}

// startServer starts "kitestring run" on the rig's folder and waits until it
// listens. At its end its output must contain no secret.
func (r *Rig) startServer(env []string, args ...string) { r.startServerTo(nil, env, args...) }

func (r *Rig) startServerTo(stderr *os.File, env []string, args ...string) {
	r.cleanup(func() { r.noSecrets(map[string][]byte{r.process.name: r.process.output()}) })
	r.process = r.start("server", env, stderr, append([]string{
		"run", "--profile", "sim", "--env-file", r.EnvFile, "--state-dir", filepath.Join(r.Dir, "state"), "--log-format", "json", "--addr", "127.0.0.1:0",
	}, args...)...)
	line := r.process.firstLine()
	_, address, ok := strings.Cut(line, "dashboard at http://")
	if !ok {
		failf("the server printed %q", line)
	}
	r.web = strings.TrimSuffix(address, "/")
}

// kernelView is what the kernel knows of a process.
type kernelView struct {
	cpu time.Duration // user and system
	rss int64         // bytes
	fds int
}

func (p *process) kernel() kernelView {
	v, err := kernelOf(p.cmd.Process.Pid)
	if err != nil {
		failf("%s: %w: %s", p.name, err, p.lastLines())
	}
	return v
}

func kernelOf(pid int) (v kernelView, err error) {
	proc, err := procfs.NewProc(pid)
	if err != nil {
		return v, fmt.Errorf("read /proc: %w", err)
	}
	stat, err := proc.Stat()
	if err != nil {
		return v, fmt.Errorf("read /proc/PID/stat: %w", err)
	}
	v = kernelView{cpu: seconds(stat.CPUTime()), rss: int64(stat.ResidentMemory())}
	v.fds, err = proc.FileDescriptorsLen()
	return v, err
}

// machineCPU is the time that all processes of the machine have taken, 0 when
// it cannot be read.
func machineCPU() time.Duration {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return 0
	}
	stat, err := fs.Stat()
	if err != nil {
		return 0
	}
	c := stat.CPUTotal
	return seconds(c.User + c.Nice + c.System + c.IRQ + c.SoftIRQ + c.Steal)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
