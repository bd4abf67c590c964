package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
)

func main() {
	logFile := flag.String("log", os.DevNull, "file for the output of every test, passed ones too")
	flag.Parse()
	ok, err := run(os.Stdin, os.Stdout, *logFile, os.Getenv("CI") == "true")
	if err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
		os.Exit(2)
	}
	if !ok {
		os.Exit(1)
	}
}

// run reports whether all is well: see the package's comment.
func run(in io.Reader, out io.Writer, logFile string, ci bool) (ok bool, err error) {
	log, err := os.Create(logFile)
	if err != nil {
		return false, err
	}
	w := bufio.NewWriter(log)
	r := newReport(out, w)
	if err := r.read(in); err != nil {
		return false, err
	}
	ok, err = r.summary(ci)
	if err != nil {
		return false, err
	}
	if err := w.Flush(); err != nil {
		return false, err
	}
	return ok, log.Close()
}
