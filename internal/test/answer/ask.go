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
	client := http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	for range n {
		body, err := getOnce(&client, url)
		if err != nil {
			fmt.Println(why(err))
			continue
		}
		fmt.Println(strings.TrimSpace(string(body)))
	}
}

func getOnce(client *http.Client, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
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
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupHost(ctx, name)
	if err != nil {
		fmt.Println(why(err))
		return
	}
	slices.Sort(addresses)
	fmt.Println(strings.Join(addresses, " "))
}
