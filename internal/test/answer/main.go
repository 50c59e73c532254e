// Command answer is what runs in the tests' containers: it answers HTTP and UDP on one port
// with its host's name and the address of the client. It needs nothing else in its image. In a
// container that runs, it asks others:
//
//	answer [PORT]          serve, on port 80 by default
//	answer get URL N       N requests, each with a connection of its own
//	answer lookup NAME     the addresses of a name
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
)

func main() {
	port := "80"
	if len(os.Args) > 1 {
		port = os.Args[1]
	}
	switch port {
	case "get":
		get(os.Args[2], os.Args[3])
		return
	case "lookup":
		lookup(os.Args[2])
		return
	}
	name, err := os.Hostname()
	if err != nil {
		log.Fatal(err)
	}
	go datagrams(port, name)
	log.Fatal(http.ListenAndServe(":"+port, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		client, _, _ := net.SplitHostPort(r.RemoteAddr)
		fmt.Fprintf(w, "%s sees %s\n", name, client)
	})))
}

func datagrams(port, name string) {
	var config net.ListenConfig
	conn, err := config.ListenPacket(context.Background(), "udp4", ":"+port)
	if err != nil {
		log.Fatal(err)
	}
	buf := make([]byte, 2048)
	for {
		_, client, err := conn.ReadFrom(buf)
		if err != nil {
			continue
		}
		address, _, _ := strings.Cut(client.String(), ":")
		_, _ = fmt.Fprintf(packets{conn, client}, "%s sees %s", name, address)
	}
}

// packets writes to one client.
type packets struct {
	net.PacketConn
	to net.Addr
}

func (p packets) Write(b []byte) (int, error) { return p.WriteTo(b, p.to) }
