package lab

import (
	"errors"
	"os"
	"strings"
	"time"
)

const (
	// jobInterval is the pause between two looks at a job whose virsh has not ended.
	jobInterval = time.Second
	// jobGrace is how long virsh may take to end once its job is done.
	jobGrace = 3 * time.Second
)

// jobs are the commands of virsh that wait for a job, each with a func that asks the
// daemon whether the job is done. The daemon's state decides, not the end of virsh: virsh
// 9.0 hangs for ever if the job is done very soon, since its worker then asks the main
// loop to stop before the main loop has started.
//
// The first argument without a leading dash is the domain, the second one the file:
// options that take a value come behind them, or are written as --option=value.
var jobs = map[string]func(v virsh, args []string) (done bool, err error){
	"save":        domainHasLeft,
	"managedsave": domainHasLeft,
	"migrate":     domainHasLeft,
	"dump":        domainIsDumped,
}

// job runs a command that waits for a job. It returns what virsh has printed once virsh
// has ended, or was killed since the job is done and virsh hangs.
func (v virsh) job(args ...string) (string, error) {
	r, err := v.start(args...)
	if err != nil {
		return "", err
	}
	ended := make(chan error, 1)
	go func() { ended <- r.wait() }()
	for {
		if ok, err := within(jobInterval, ended); ok {
			return r.output(), err
		}
		done, err := jobs[args[0]](v, args[1:])
		if err != nil {
			r.cmd.Kill()
			return "", errors.Join(err, <-ended)
		}
		if !done {
			continue
		}
		if ok, err := within(jobGrace, ended); ok {
			return r.output(), err
		}
		r.cmd.Kill()
		<-ended //nolint:errcheck // that virsh was killed is no error of the job
		return r.output(), nil
	}
}

// within waits for an error, which may be nil, at most for a time, and reports whether it came.
func within(d time.Duration, ended <-chan error) (ok bool, err error) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case err := <-ended:
		return true, err
	case <-timer.C:
		return false, nil
	}
}

// domainHasLeft reports whether a domain no longer runs here: it is shut off, or unknown.
func domainHasLeft(v virsh, args []string) (bool, error) {
	state, err := v.run("domstate", positional(args, 0))
	if err != nil {
		if strings.Contains(err.Error(), "failed to get domain") {
			return true, nil
		}
		return false, err
	}
	return state == "shut off", nil
}

// domainIsDumped reports whether a domain's memory is in its file and no job is active.
func domainIsDumped(v virsh, args []string) (bool, error) {
	info, err := os.Stat(positional(args, 1))
	if err != nil || info.Size() == 0 {
		return false, nil //nolint:nilerr // the job has not begun
	}
	job, err := v.run("domjobinfo", positional(args, 0))
	if err != nil {
		if strings.Contains(err.Error(), "not supported") { // the test driver: its jobs take no time
			return true, nil
		}
		return domainHasLeft(v, args) // --crash
	}
	return strings.HasPrefix(strings.Join(strings.Fields(job), " "), "Job type: None"), nil
}

// positional returns the n-th argument that is no option.
func positional(args []string, n int) string {
	for _, arg := range args {
		if strings.HasPrefix(arg, "-") {
			continue
		}
		if n == 0 {
			return arg
		}
		n--
	}
	return ""
}
