package e2e

import (
	"bufio"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// samples are the values of metrics, by name and labels as they are written.
type samples map[string]float64

// scrape reads virtcast's metrics at an address.
func scrape(t *testing.T, addr string) (samples, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // none that outlives the test
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close() //nolint:errcheck // what was read counts
	found := samples{}
	for lines := bufio.NewScanner(response.Body); ; {
		if !lines.Scan() {
			return found, lines.Err()
		}
		at := strings.LastIndexByte(lines.Text(), ' ')
		if at < 0 || lines.Text()[0] == '#' {
			continue
		}
		value, err := strconv.ParseFloat(lines.Text()[at+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("metric %q: %w", lines.Text(), err)
		}
		found[lines.Text()[:at]] = value
	}
}

// sum adds up a metric over all of its labels.
func (s samples) sum(name string) float64 {
	total := s[name]
	for sample, value := range s {
		if strings.HasPrefix(sample, name+"{") {
			total += value
		}
	}
	return total
}
