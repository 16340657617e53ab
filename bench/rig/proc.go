package rig

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Proc is one running process.
type Proc struct {
	Name string
	Log  string // its output
	cmd  *exec.Cmd
	done chan struct{}
}

// Start runs a program whose output goes to a log file. It dies with this process.
func (r *Rig) Start(name string, env []string, path string, args ...string) (*Proc, error) {
	r.started++
	logPath := filepath.Join(r.Dir, fmt.Sprintf("%03d-%s.log", r.started, name))
	out, err := os.Create(logPath)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer out.Close()
	p := &Proc{Name: name, Log: logPath, cmd: exec.Command(path, args...), done: make(chan struct{})}
	p.cmd.Env = append(r.environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended shows in its log
		close(p.done)
	}()
	r.atEnd(p.Kill)
	return p, nil
}

// environ is this process's environment without settings of the service.
func (r *Rig) environ() []string {
	var env []string
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "POSTRIDER_") {
			env = append(env, pair)
		}
	}
	return env
}

// PID is the process's id.
func (p *Proc) PID() int { return p.cmd.Process.Pid }

// Kill ends it at once, as a crash would, and waits for its end.
func (p *Proc) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Terminate asks it to end, waits, and reports whether it did within limit.
func (p *Proc) Terminate(limit time.Duration) bool {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return true
	case <-time.After(limit):
		p.Kill()
		return false
	}
}

// Alive reports whether it runs.
func (p *Proc) Alive() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Tail is the end of its log, for error messages.
func (p *Proc) Tail() string {
	raw, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	return string(raw[max(0, len(raw)-2000):])
}

// ticks is the kernel's USER_HZ, which is 100 on every Linux of today.
const ticks = 100

var errStat = errors.New("/proc/PID/stat is not as expected")

// CPU is the time that a process has used so far, without its children.
func CPU(pid int) (time.Duration, error) {
	fields, err := stat(pid)
	if err != nil {
		return 0, err
	}
	return sum(fields[11], fields[12])
}

// TreeCPU is the time that a process and all below it have used so far, with
// children that have ended.
func TreeCPU(pid int) (time.Duration, error) {
	entries, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, err
	}
	children := make(map[int][]int)
	for _, e := range entries {
		id, err := strconv.Atoi(filepath.Base(e))
		if err != nil {
			continue
		}
		if fields, err := stat(id); err == nil { // else it has just ended
			parent, _ := strconv.Atoi(fields[1])
			children[parent] = append(children[parent], id)
		}
	}
	total := time.Duration(0)
	for todo := []int{pid}; len(todo) > 0; todo = append(todo[1:], children[todo[0]]...) {
		fields, err := stat(todo[0])
		if err != nil {
			continue
		}
		used, err := sum(fields[11:15]...)
		if err != nil {
			return 0, err
		}
		total += used
	}
	return total, nil
}

// stat gives the fields of /proc/PID/stat from the third (state) on, which is
// fields[0]; proc(5) counts from 1.
func stat(pid int) ([]string, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	_, rest, ok := strings.Cut(string(raw), ") ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 15 {
		return nil, errStat
	}
	return fields, nil
}

func sum(fields ...string) (time.Duration, error) {
	total := int64(0)
	for _, f := range fields {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, errStat
		}
		total += n
	}
	return time.Duration(total) * time.Second / ticks, nil
}

// PeakMemory is the most that a process has ever held, in octets (VmHWM).
func PeakMemory(pid int) (int64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(raw)) {
		var kib int64
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kib); err == nil {
			return kib << 10, nil
		}
	}
	return 0, errors.New("/proc/PID/status has no VmHWM")
}
