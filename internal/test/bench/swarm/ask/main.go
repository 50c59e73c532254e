// Command ask is a client that asks web servers again and again, each time over a new connection, until its input ends:
//
//	ask EVERY PATIENCE ADDRESS:PORT...
//
// It prints a line per request, when that has ended: seconds since the program's start at which the request began, the
// target, the code of the answer or 0. One process for all requests: a curl for each would take half of an emulated lab.
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "ask:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 3 {
		return fmt.Errorf("%d arguments; it needs how often to ask, for how long to wait, and one or more of ADDRESS:PORT", len(args))
	}
	every, err := time.ParseDuration(args[0])
	if err != nil {
		return err
	}
	patience, err := time.ParseDuration(args[1])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	start := time.Now()
	for _, target := range args[2:] {
		go keepAsking(ctx, client, start, every, target)
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// keepAsking does not have a request wait for the one before it: one that hangs says nothing of the next one.
func keepAsking(ctx context.Context, client *http.Client, start time.Time, every time.Duration, target string) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		go func() {
			at := time.Since(start).Seconds()
			code := get(ctx, client, "http://"+target+"/")
			fmt.Printf("%.3f %s %d\n", at, target, code) // one write per line: lines do not mix
		}()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// get is 0 for an answer that is not there, or not whole.
func get(ctx context.Context, client *http.Client, url string) int {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0
	}
	answer, err := client.Do(request)
	if err != nil {
		return 0
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return 0
	}
	return answer.StatusCode
}
