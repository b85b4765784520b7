package county

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

const stateFile = "county.json"

// State is what a serving county says of itself in the file county.json of its folder.
type State struct {
	// Instance is new at every start.
	Instance string  `json:"instance"`
	Scale    int     `json:"scale"`
	Systems  Systems `json:"systems"`
	// Definitions is the path of the connector definitions.
	Definitions string `json:"definitions"`
	// Planted and Index are what the hub must find.
	Planted Planted     `json:"planted"`
	Index   IndexTotals `json:"index"`
}

// Systems says what the three systems are and where they can be reached.
type Systems struct {
	// Market is "postgresql 15.14", or "sqlite (PostgreSQL is not installed)".
	Market string `json:"market"`
	// MarketAddress is host and port, or the path of the SQLite file.
	MarketAddress string `json:"market_address"`
	// Police is the path of the folder of the nightly files.
	Police string `json:"police"`
	// Civil is the URL of the HTTP interface.
	Civil string `json:"civil"`
}

// Load reads what the county that serves dir says of itself. It returns
// [ErrNotReady] when none serves the folder, or not yet; one that was killed
// leaves its file behind, so it is asked.
func Load(ctx context.Context, dir string) (State, error) {
	var s State
	content, err := os.ReadFile(filepath.Join(dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return s, fmt.Errorf("%w: %s has no %s", ErrNotReady, dir, stateFile)
	}
	if err != nil {
		return s, fmt.Errorf("county: %w", err)
	}
	if err := json.Unmarshal(content, &s); err != nil {
		return s, fmt.Errorf("county: %s: %w", stateFile, err)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Systems.Civil+"/health", http.NoBody)
	if err != nil {
		return s, fmt.Errorf("county: %s: %w", stateFile, err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return s, fmt.Errorf("%w: %s does not answer", ErrNotReady, s.Systems.Civil)
	}
	defer response.Body.Close() //nolint:errcheck // nothing is written
	answer, err := io.ReadAll(io.LimitReader(response.Body, 256))
	if err != nil || string(answer) != s.Instance {
		return s, fmt.Errorf("%w: another program answers at %s", ErrNotReady, s.Systems.Civil)
	}
	return s, nil
}
