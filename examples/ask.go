// Asks a running server from Go, as JSON over HTTP, with nothing but the standard library.
//
//	freshet serve --artifacts shop/artifacts --config http.toml    # [server] http_address = "127.0.0.1:8080"
//	go run examples/ask.go http://127.0.0.1:8080 "red mug"
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"time"
)

const (
	method = "/freshet.retrieval.v1.RetrievalService/Retrieve"
	// A search page has no time to wait: half a second a try.
	tryFor = 500 * time.Millisecond
	tries  = 3
)

// The fields that this program reads; others are left out by encoding/json.
type answer struct {
	Hits []struct {
		ItemID string  `json:"itemId"`
		Score  float64 `json:"score"`
		Title  string  `json:"title"`
	} `json:"hits"`
	Receipt struct {
		Generation string `json:"generation"`
	} `json:"receipt"`
}

type failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Details []struct {
		Type  string `json:"type"`
		Debug struct {
			Reason string `json:"reason"`
		} `json:"debug"`
	} `json:"details"`
}

func (f failure) Error() string {
	reason := ""
	for _, detail := range f.Details {
		if detail.Type == "google.rpc.ErrorInfo" {
			reason = detail.Debug.Reason
		}
	}
	return fmt.Sprintf("%s (%s): %s", f.Code, reason, f.Message)
}

// One client for the whole process: it keeps its connections.
var client = &http.Client{Timeout: 2 * tryFor}

// try makes one call. It returns how long to wait before another one: 0, none helps.
func try(server string, body []byte) (answer, time.Duration, error) {
	var found answer
	request, err := http.NewRequest(http.MethodPost, server+method, bytes.NewReader(body))
	if err != nil {
		return found, 0, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Connect-Timeout-Ms", strconv.FormatInt(tryFor.Milliseconds(), 10))
	if token := os.Getenv("FRESHET_TOKEN"); token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := client.Do(request)
	if err != nil {
		return found, 0, err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusOK {
		return found, 0, json.NewDecoder(response.Body).Decode(&found)
	}
	var failed failure
	if err := json.NewDecoder(response.Body).Decode(&failed); err != nil {
		return found, 0, fmt.Errorf("%s did not answer in JSON: %w", server, err)
	}
	switch response.StatusCode {
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		seconds, err := strconv.Atoi(response.Header.Get("Retry-After"))
		if err != nil {
			seconds = 1
		}
		return found, time.Duration(seconds) * time.Second, failed
	}
	return found, 0, failed
}

// ask tries until there is an answer, or an error that trying again does not help.
func ask(server, query string) (answer, error) {
	body, err := json.Marshal(map[string]any{"query": query, "k": 5})
	if err != nil {
		return answer{}, err
	}
	for attempt := 1; ; attempt++ {
		found, wait, err := try(server, body)
		if err == nil || wait == 0 || attempt == tries {
			return found, err
		}
		time.Sleep(wait)
	}
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: ask SERVER QUERY")
		os.Exit(2)
	}
	found, err := ask(os.Args[1], os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for _, hit := range found.Hits {
		fmt.Printf("%.3f  %s  %s\n", hit.Score, hit.ItemID, hit.Title)
	}
	fmt.Printf("generation %s\n", found.Receipt.Generation)
}
