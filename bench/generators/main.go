// Load generators: events at a given rate to Kafka, and calls of a server by the clock.
//
//	generators publish --brokers HOST:PORT --events FILE --rate 27000
//	generators call --address HOST:PORT --queries 5000 --callers 32 --seconds 10
//	generators call --address HOST:PORT --queries 5000 --rate 12000 --seconds 10
//
// Each prints JSON lines, the last of them with what came of it.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"
)

func main() {
	commands := map[string]func(context.Context, []string) error{"publish": publish, "call": call}
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: generators publish|call [OPTIONS]")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := commands[os.Args[1]](ctx, os.Args[2:]); err != nil {
		fmt.Fprintf(os.Stderr, "generators: %v\n", err)
		os.Exit(1)
	}
}

// Prints one JSON line.
func report(what any) error {
	return json.NewEncoder(os.Stdout).Encode(what)
}

// The smallest duration that at least this share do not exceed, in milliseconds; 0: there is none.
func quantileMs(sorted []time.Duration, share float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	rank := min(len(sorted)-1, int(share*float64(len(sorted))))
	return float64(sorted[rank].Microseconds()) / 1000
}

// Half of some durations, all but one in a hundred, and the longest.
type quantiles struct {
	P50Ms  float64 `json:"p50_ms"`
	P99Ms  float64 `json:"p99_ms"`
	MostMs float64 `json:"most_ms"`
}

func quantilesOf(durations []time.Duration) quantiles {
	slices.Sort(durations)
	return quantiles{
		P50Ms: quantileMs(durations, 0.5), P99Ms: quantileMs(durations, 0.99), MostMs: quantileMs(durations, 1),
	}
}

// The processor time that this process has used.
func cpuTime() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		panic(err) // it fails of a wrong argument alone
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
