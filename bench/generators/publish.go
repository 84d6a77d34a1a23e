package main

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// As stream/kafka/producer.py has them.
const (
	linger          = 10 * time.Millisecond
	batchBytes      = 128 << 10
	deliveryTimeout = 120 * time.Second
)

// From one look at the clock to the next; all events that are due are sent then. Twice as
// long sends twice as many at once, that much later, and wakes half as often.
const sendEvery = 5 * time.Millisecond

// What came of publishing.
type published struct {
	Published int       `json:"published"`
	Failed    int       `json:"failed"`
	Seconds   float64   `json:"seconds"`
	Rate      float64   `json:"rate"`
	Late      quantiles `json:"late"`
}

// Publishes the events of a file at a rate, each of the moment at which it is sent, until
// they are all sent or SIGTERM comes.
func publish(ctx context.Context, arguments []string) error {
	options := flag.NewFlagSet("publish", flag.ExitOnError)
	brokers := options.String("brokers", "", "HOST:PORT, or several with commas")
	path := options.String("events", "", "file of JSON lines, as freshet simulate writes it")
	rate := options.Float64("rate", 1000, "events a second")
	clicks := options.String("clicks-topic", "freshet.clicks", "topic of events with a query")
	sessions := options.String("sessions-topic", "freshet.sessions", "topic of those without")
	contentType := options.String("content-type", "", "of an event in protobuf")
	options.Parse(arguments)

	waiting, err := readEvents(*path)
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(*brokers, ",")...),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), // Kafka's own, by murmur2
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchCompression(kgo.Lz4Compression()),
		kgo.ProducerLinger(linger),
		kgo.ProducerBatchMaxBytes(batchBytes),
		kgo.RecordDeliveryTimeout(deliveryTimeout),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.Ping(ctx); err != nil {
		return fmt.Errorf("no broker answers at %s: %w", *brokers, err)
	}
	if err := report(map[string]int{"ready": len(waiting.places)}); err != nil {
		return err
	}
	record := kgo.Record{Headers: []kgo.RecordHeader{{Key: "content-type", Value: []byte(*contentType)}}}
	topicOf := map[bool]string{true: *clicks, false: *sessions}
	sent, err := send(ctx, client, waiting, *rate, record, topicOf)
	if err != nil {
		return err
	}
	return report(sent)
}

// Sends every event when it is due, as a record that has what a given one has besides, in
// the topic of those that have a query or have none.
func send(
	ctx context.Context,
	client *kgo.Client,
	waiting *events,
	rate float64,
	record kgo.Record,
	topicOf map[bool]string,
) (published, error) {
	var lock sync.Mutex
	var sent published
	var first error
	acknowledged := func(_ *kgo.Record, err error) {
		lock.Lock()
		defer lock.Unlock()
		if err == nil {
			sent.Published++
			return
		}
		sent.Failed++
		if first == nil {
			first = err
		}
	}
	late := make([]time.Duration, 0, len(waiting.places))
	start := time.Now()
	for number, place := range waiting.places {
		due := start.Add(time.Duration(float64(number) / rate * float64(time.Second)))
		for time.Now().Before(due) && ctx.Err() == nil {
			time.Sleep(sendEvery)
		}
		if ctx.Err() != nil {
			break
		}
		now := time.Now()
		late = append(late, now.Sub(due))
		each := record
		each.Topic, each.Timestamp = topicOf[place.hasQuery], now
		each.Key, each.Value = waiting.at(place, now.UnixMilli())
		// It waits where too many are on their way, and the next ones are late.
		client.Produce(context.Background(), &each, acknowledged)
	}
	seconds := time.Since(start).Seconds()
	if err := client.Flush(context.Background()); err != nil {
		return sent, err
	}
	lock.Lock()
	defer lock.Unlock()
	sent.Seconds, sent.Rate, sent.Late = seconds, float64(len(late))/seconds, quantilesOf(late)
	if first != nil {
		return sent, fmt.Errorf("%d events were not taken: %w", sent.Failed, first)
	}
	return sent, nil
}
