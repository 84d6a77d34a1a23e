package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
)

const (
	retrieve = "/freshet.retrieval.v1.RetrievalService/Retrieve"
	// The fields of freshet.retrieval.v1.RetrieveRequest (protos/retrieval_v1.proto).
	fieldText = 1
	fieldK    = 2
	// Of a search page.
	k = 10
	// From one look at the clock to the next; all calls that are due are made then. Twice as
	// long makes twice as many at once, that much later, and wakes half as often.
	callEvery = time.Millisecond
)

// What became of calls.
type called struct {
	Seconds float64 `json:"seconds"`
	// How often each status came.
	Codes map[string]int `json:"codes"`
	// Of calls that were answered, from when they were made.
	Answered quantiles `json:"answered"`
	// Of all calls, from when they were due.
	Late       quantiles `json:"late"`
	CPUSeconds float64   `json:"cpu_seconds"`
}

// Calls a server: some callers one call after the other, or so many calls a second at
// random times, whatever becomes of them.
func call(ctx context.Context, arguments []string) error {
	options := flag.NewFlagSet("call", flag.ExitOnError)
	address := options.String("address", "", "HOST:PORT")
	queries := options.Int("queries", 1, "known queries: query 0, query 1, ...")
	deadline := options.Duration("deadline", time.Second, "of each call")
	seconds := options.Float64("seconds", 10, "how long calls are made")
	callers := options.Int("callers", 0, "of a closed loop")
	rate := options.Float64("rate", 0, "calls a second of an open loop")
	// Those of a small search service. Twice as many change little.
	connections := options.Int("connections", 8, "to the server")
	seed := options.Uint64("seed", 0, "of the random times")
	options.Parse(arguments)
	if (*callers > 0) == (*rate > 0) {
		return errors.New("--callers or --rate, one of them, must be more than 0")
	}
	requests := newRequests(*queries)
	for range *connections {
		connection, err := connect(ctx, *address)
		if err != nil {
			return err
		}
		defer connection.Close()
		requests.connections = append(requests.connections, connection)
	}
	requests.deadline = *deadline
	cpuBefore, started := cpuTime(), time.Now()
	end := started.Add(time.Duration(*seconds * float64(time.Second)))
	if *callers > 0 {
		requests.closedLoop(ctx, *callers, end)
	} else {
		requests.openLoop(ctx, *rate, end, rand.New(rand.NewPCG(*seed, 0)))
	}
	requests.found.Seconds = time.Since(started).Seconds()
	requests.open.Wait()
	requests.found.CPUSeconds = (cpuTime() - cpuBefore).Seconds()
	requests.found.Answered = quantilesOf(requests.answered)
	requests.found.Late = quantilesOf(requests.late)
	return report(requests.found)
}

// Opens a connection and waits until it is there.
func connect(ctx context.Context, address string) (*grpc.ClientConn, error) {
	connection, err := grpc.NewClient(
		"passthrough:///"+address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDisableRetry(),
		grpc.WithDisableServiceConfig(),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(asItIs{})),
	)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	connection.Connect()
	for state := connection.GetState(); state != connectivity.Ready; state = connection.GetState() {
		if state == connectivity.TransientFailure || !connection.WaitForStateChange(ctx, state) {
			return nil, fmt.Errorf("no server answers at %s", address)
		}
	}
	return connection, nil
}

// Requests for known queries, one after the other, and what became of them.
type requests struct {
	messages    [][]byte
	connections []*grpc.ClientConn
	deadline    time.Duration
	next        atomic.Uint64
	open        sync.WaitGroup

	lock     sync.Mutex
	found    called
	answered []time.Duration
	late     []time.Duration
}

func newRequests(queries int) *requests {
	made := &requests{found: called{Codes: map[string]int{}}}
	for number := range queries {
		message := protowire.AppendTag(nil, fieldText, protowire.BytesType)
		message = protowire.AppendString(message, fmt.Sprintf("query %d", number))
		message = protowire.AppendTag(message, fieldK, protowire.VarintType)
		made.messages = append(made.messages, protowire.AppendVarint(message, k))
	}
	return made
}

func (r *requests) closedLoop(ctx context.Context, callers int, end time.Time) {
	var group sync.WaitGroup
	for caller := range callers {
		// A caller keeps to its connection: none waits for a worker that has more of them.
		connection := r.connections[caller%len(r.connections)]
		group.Go(func() {
			for now := time.Now(); now.Before(end) && ctx.Err() == nil; now = time.Now() {
				r.one(ctx, connection, r.next.Add(1), now)
			}
		})
	}
	group.Wait()
}

func (r *requests) openLoop(ctx context.Context, rate float64, end time.Time, random *rand.Rand) {
	for due := time.Now(); due.Before(end) && ctx.Err() == nil; {
		for time.Now().Before(due) {
			time.Sleep(callEvery)
		}
		number := r.next.Add(1)
		connection := r.connections[number%uint64(len(r.connections))]
		r.open.Go(func() { r.one(ctx, connection, number, due) })
		due = due.Add(time.Duration(random.ExpFloat64() / rate * float64(time.Second)))
	}
}

// Makes one call that is due at a moment.
func (r *requests) one(ctx context.Context, connection *grpc.ClientConn, number uint64, due time.Time) {
	message := r.messages[number%uint64(len(r.messages))]
	ctx, cancel := context.WithTimeout(ctx, r.deadline)
	defer cancel()
	started := time.Now()
	err := connection.Invoke(ctx, retrieve, message, nil)
	took := time.Since(started)
	r.lock.Lock()
	defer r.lock.Unlock()
	r.late = append(r.late, started.Sub(due))
	r.found.Codes[code.Code(status.Code(err)).String()]++
	if err == nil {
		r.answered = append(r.answered, took)
	}
}

// Messages that are bytes already, and answers that nobody reads.
type asItIs struct{}

func (asItIs) Marshal(message any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(message.([]byte))}, nil
}

func (asItIs) Unmarshal(mem.BufferSlice, any) error { return nil }

func (asItIs) Name() string { return "proto" }
