// The calls of the provider's client for Go, in its form on the wire, by Go's own HTTP: credentials in the URL-safe
// alphabet, identifiers escaped as a segment of a path, and any status but 200 a failure.
// The client itself is not in it.
//
// Usage: go run customerio.go ENDPOINTS
package main

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
)

type object map[string]any

type client struct{ gateway, siteID, key string }

// Sends a call as the client does, and gives what it would take for a failure.
func (c client) call(method, path string, body any) error {
	sent := []byte{}
	if body != nil {
		sent = encoded(body)
	}
	request, err := http.NewRequest(method, c.gateway+path, bytes.NewBuffer(sent))
	if err != nil {
		return err
	}
	credentials := base64.URLEncoding.EncodeToString([]byte(c.siteID + ":" + c.key))
	request.Header.Add("Authorization", "Basic "+credentials)
	request.Header.Add("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%d %s", response.StatusCode, answer)
	}
	if string(answer) != "{}\n" {
		log.Fatalf("%s %s: answered %q", method, path, answer)
	}
	return nil
}

func encoded(value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		log.Fatal(err)
	}
	return text
}

func claim(event, id string, deliveries, facts int) {
	fmt.Println(string(encoded(object{"event": event, "id": id, "deliveries": deliveries, "facts": facts})))
}

func must(what string, err error) {
	if err != nil {
		log.Fatalf("%s: %v", what, err)
	}
}

func refused(what string, status string, err error) {
	if err == nil || err.Error()[:3] != status {
		log.Fatalf("%s: %v, expected %s", what, err, status)
	}
}

func main() {
	text, err := os.ReadFile(os.Args[1])
	must("endpoints", err)
	var endpoints struct{ Gateway string }
	must("endpoints", json.Unmarshal(text, &endpoints))
	random := make([]byte, 5)
	_, err = rand.Read(random)
	must("random bytes", err)
	run := hex.EncodeToString(random)

	cio := client{endpoints.Gateway, "dev-site", "dev-track-key"}
	jane, john, mary, order := "gjane-"+run, "gjohn/"+run+" ä", "gmary-"+run, "gorder-"+run
	customer := func(id string) string { return "/api/v1/customers/" + url.PathEscape(id) }

	for _, person := range []string{jane, john, mary} {
		must("identify", cio.call("PUT", customer(person), object{"plan": "pro", "created_at": 1700000000}))
		claim("customer.updated", person, 1, 1)
	}
	paid := object{"order_id": order, "value": 49.99, "currency": "USD",
		"line_items": []object{{"sku": "tee-1", "price": 49.99}}}
	for range 3 {
		must("track", cio.call("POST", customer(jane)+"/events", object{"name": "order_paid", "data": paid}))
	}
	claim("order.paid", order, 3, 1)
	claim("order.placed", order, 0, 1)
	must("track without data", cio.call("POST", customer(jane)+"/events", object{"name": "seen", "data": nil}))
	claim("custom.tracked", jane, 1, 1)
	viewed := object{"name": "product_viewed", "anonymous_id": "ganonymous-" + run,
		"data": object{"product_id": "gproduct-" + run}}
	must("anonymous", cio.call("POST", "/api/v1/events", viewed))
	claim("product.viewed", "gproduct-"+run, 1, 1)
	device := object{"device": object{"id": "gdevice/" + run, "platform": "ios", "last_used": 1700000000}}
	must("device", cio.call("PUT", customer(jane)+"/devices", device))
	must("no device", cio.call("DELETE", customer(jane)+"/devices/"+url.PathEscape("gdevice/"+run), nil))
	segment := object{"ids": []string{jane, mary}}
	must("segment", cio.call("POST", "/api/v1/segments/7/add_customers?id_type=id", segment))
	must("no segment", cio.call("POST", "/api/v1/segments/7/remove_customers", segment))
	merge := object{"primary": object{"id": jane}, "secondary": object{"id": mary}}
	must("merge", cio.call("POST", "/api/v1/merge_customers", merge))
	claim("customer.merged", jane, 1, 1)
	must("delete", cio.call("DELETE", customer(john), nil))
	claim("customer.deleted", john, 1, 1)

	stranger := client{endpoints.Gateway, "dev-site", "wrong"}
	refused("a wrong key", "401", stranger.call("PUT", customer("gstranger-"+run), object{}))
	claim("customer.updated", "gstranger-"+run, 0, 0)
	refused("a blank name", "400", cio.call("POST", customer(jane)+"/events", object{"name": " "}))
}
