package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	"google.golang.org/protobuf/encoding/protowire"
)

// The fields of freshet.events.v1.Event (protos/events_v1.proto).
const (
	fieldTime = iota + 1
	fieldSession
	fieldUser
	fieldQuery
	fieldItem
	fieldAction
)

// Numbers of freshet.events.v1.Action by the types that the simulated shop writes.
var actions = map[string]uint64{"view": 1, "search_click": 2, "add_to_cart": 3, "purchase": 4}

// Bytes of the field of a time of now: its tag, and 41 bits by sevens.
const timeBytes = 7

// Events that wait to be sent, each encoded but for its time, one behind the other.
type events struct {
	bytes  []byte
	places []place
}

// Where an event is: its key, then its value.
type place struct {
	start    int
	keyBytes int
	valBytes int
	hasQuery bool
}

// Reads the lines that `freshet simulate` writes.
func readEvents(path string) (*events, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	found, lines := &events{}, bufio.NewScanner(file)
	for lines.Scan() {
		if err := found.add(lines.Bytes()); err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", path, len(found.places)+1, err)
		}
	}
	return found, lines.Err()
}

func (all *events) add(line []byte) error {
	var event struct {
		Type, Query string
		Session     string `json:"session_id"`
		User        string `json:"user_id"`
		Item        string `json:"item_id"`
	}
	if err := json.Unmarshal(line, &event); err != nil {
		return err
	}
	action, known := actions[event.Type]
	if !known {
		return fmt.Errorf("an action of type %q is not known", event.Type)
	}
	key := event.Session
	if key == "" {
		key = event.User
	}
	start := len(all.bytes)
	bytes := append(all.bytes, key...)
	bytes = append(bytes, make([]byte, timeBytes)...)
	texts := []string{fieldSession: event.Session, fieldUser: event.User, fieldQuery: event.Query, fieldItem: event.Item}
	for field, text := range texts {
		if text != "" {
			bytes = protowire.AppendTag(bytes, protowire.Number(field), protowire.BytesType)
			bytes = protowire.AppendString(bytes, text)
		}
	}
	bytes = protowire.AppendTag(bytes, fieldAction, protowire.VarintType)
	all.bytes = protowire.AppendVarint(bytes, action)
	all.places = append(all.places, place{
		start: start, keyBytes: len(key), valBytes: len(all.bytes) - start - len(key), hasQuery: event.Query != "",
	})
	return nil
}

// The key and the value of an event that happened at this time, UTC epoch milliseconds.
// They lie where the event lay: it can be had once.
func (all *events) at(place place, timeMs int64) (key, value []byte) {
	end := place.start + place.keyBytes
	key, value = all.bytes[place.start:end:end], all.bytes[end:end+place.valBytes]
	protowire.AppendVarint(protowire.AppendTag(value[:0], fieldTime, protowire.VarintType), uint64(timeMs))
	return key, value
}
