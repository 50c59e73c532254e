package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// get prints what answers, or why nothing does, in words that do not change with addresses.
func get(url, times string) {
	n, err := strconv.Atoi(times)
	if err != nil {
		fmt.Println(err)
		return
	}
	client := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for range n {
		resp, err := client.Get(url)
		if err != nil {
			fmt.Println(why(err))
			continue
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		fmt.Println(strings.TrimSpace(string(body)), errText(err))
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return why(err)
}

// why names the error of a request.
func why(err error) string {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return "no such name"
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.EACCES):
		return "refused"
	}
	return err.Error()
}

// lookup prints the IPv4 addresses of a name, sorted.
func lookup(name string) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupHost(ctx, name)
	if err != nil {
		fmt.Println(why(err))
		return
	}
	slices.Sort(addresses)
	fmt.Println(strings.Join(addresses, " "))
}
