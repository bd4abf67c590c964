// Package command runs the programs that tests need, and is the only place that starts
// one.
//
// Every program gets a deadline, which counts from its start. When the deadline passes,
// the program is killed together with everything it has started (its process group), and
// the error names the program, its arguments and the deadline: a program that hangs fails
// one test after a minute, instead of the whole package after ten. A server has no
// deadline; it runs until its owner ends it. Both die with the process that started them.
package command
