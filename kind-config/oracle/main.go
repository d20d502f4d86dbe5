// Oracle runs Kubernetes' own controllers, unmodified, over fake clients in virtual time.
//
// It reads one case a line on standard input and writes one answer a line on standard output:
//
//	oracle hpa < cases.jsonl > answers.jsonl
//	oracle statefulsets < cases.jsonl > answers.jsonl
//	oracle workloads < cases.jsonl > answers.jsonl
//
// Each controller has a package of its own. Which Kubernetes is asked is decided by the module file: go.mod for 1.34,
// -modfile=go-1.35.mod and -modfile=go-1.36.mod for the others.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"testing"
	"testing/synctest"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"

	"rehearse/oracle/hpa"
	"rehearse/oracle/statefulset"
	"rehearse/oracle/workloads"
)

// A command answers the cases of one controller. It is called inside a bubble whose clock only moves when everybody
// sleeps.
type command func(t *testing.T, cases []json.RawMessage, answer func(any))

var commands = map[string]command{
	"hpa":          hpa.Run,
	"statefulsets": statefulset.Run,
	"workloads":    workloads.Run,
}

func main() {
	if len(os.Args) != 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: oracle hpa|statefulsets|workloads < cases.jsonl > answers.jsonl")
		os.Exit(2)
	}
	run := commands[os.Args[1]]
	os.Args = os.Args[:1] // the testing package reads the command line, too
	cases, err := read(os.Stdin)
	if err != nil {
		log.Fatal(err)
	}
	// Controllers are made anew for each case and complain that their metrics are registered already.
	klog.SetLogger(logr.Discard())
	out := bufio.NewWriter(os.Stdout)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	test := func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			run(t, cases, func(answer any) {
				if err := encoder.Encode(answer); err != nil {
					log.Fatal(err)
				}
			})
			if err := out.Flush(); err != nil {
				log.Fatal(err)
			}
			// A bubble must not be left while controllers of it still wait, and some of them always do.
			os.Exit(0)
		})
	}
	testing.Main(func(_, _ string) (bool, error) { return true, nil }, []testing.InternalTest{{Name: "oracle", F: test}}, nil, nil)
}

func read(from io.Reader) ([]json.RawMessage, error) {
	var cases []json.RawMessage
	decoder := json.NewDecoder(bufio.NewReader(from))
	for {
		var one json.RawMessage
		if err := decoder.Decode(&one); err == io.EOF {
			return cases, nil
		} else if err != nil {
			return nil, fmt.Errorf("case %d: %w", len(cases)+1, err)
		}
		cases = append(cases, one)
	}
}
