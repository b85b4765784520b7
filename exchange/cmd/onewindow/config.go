package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/onewindow/onewindow/connectors"
)

// The roles a process can have.
const (
	roleAPI        = "api"        // gRPC, REST and the page
	roleConnectors = "connectors" // reads the departments' systems
	roleSink       = "sink"       // topics into ClickHouse
	roleEngine     = "engine"     // the embedded ClickHouse on a port
	roleSigning    = "signing"    // the signing service alone, behind mTLS; with api it is part of that
)

const embedded = "embedded"

// Config is the configuration of a hub. Its zero value is not usable; see
// [defaultConfig].
type Config struct {
	// Data is the folder of everything that is embedded.
	Data string `yaml:"data"`
	// Roles of this process; empty means api, connectors and sink.
	Roles []string `yaml:"roles"`
	// BaseURL is how others reach the REST API; it goes into licences.
	BaseURL string `yaml:"base_url"`
	// Listen has the addresses; an empty one is not opened.
	Listen Listen `yaml:"listen"`
	// Topics is "embedded" or kafka://HOST:PORT,…
	Topics string `yaml:"topics"`
	// ClickHouse is "embedded" or http(s)://user@HOST:PORT/database.
	ClickHouse string `yaml:"clickhouse"`
	// ClickHousePasswordFile holds the password for a real ClickHouse.
	ClickHousePasswordFile string `yaml:"clickhouse_password_file"`
	// Database is "embedded", sqlite:FILE or postgres://…
	Database string `yaml:"database"`
	// Connectors is a file of source definitions; empty means none.
	Connectors string `yaml:"connectors"`
	// PassphraseFile seals the signing keys; empty means one made at the first start in Data.
	PassphraseFile string `yaml:"passphrase_file"`
	// Signing says where and how keys are used.
	Signing Signing `yaml:"signing"`
	// Partitions of each new topic.
	Partitions int `yaml:"partitions"`
}

// Listen has the addresses a process listens on.
type Listen struct {
	REST   string `yaml:"rest"`
	GRPC   string `yaml:"grpc"`
	Engine string `yaml:"engine"`
}

func defaultConfig() Config {
	return Config{
		Data:       "data",
		Roles:      []string{roleAPI, roleConnectors, roleSink},
		BaseURL:    "http://127.0.0.1:8080",
		Listen:     Listen{REST: "127.0.0.1:8080", GRPC: "127.0.0.1:9090"},
		Topics:     embedded,
		ClickHouse: embedded,
		Database:   embedded,
		Partitions: 2,
		Signing:    Signing{CachePeriod: 15 * time.Minute, Operator: Operator{Name: "Onewindow"}},
	}
}

// loadConfig reads a YAML file over the defaults. Unknown keys are refused.
// Relative file names are relative to the file.
func loadConfig(file string) (Config, error) {
	cfg := defaultConfig()
	text, err := os.ReadFile(file)
	if err != nil {
		return Config{}, fmt.Errorf("configuration: %w: name an existing file with --config", err)
	}
	if err := connectors.BoundYAML(text); err != nil {
		return Config{}, fmt.Errorf("configuration %s: %w", file, err)
	}
	if err := yaml.UnmarshalWithOptions(text, &cfg, yaml.DisallowUnknownField()); err != nil {
		return Config{}, fmt.Errorf("configuration %s: %s", file, yaml.FormatError(err, false, true))
	}
	dir := filepath.Dir(file)
	files := []*string{
		&cfg.Data, &cfg.Connectors, &cfg.PassphraseFile, &cfg.ClickHousePasswordFile,
		&cfg.Signing.Certificate, &cfg.Signing.Roots,
	}
	for i := range cfg.Signing.Tokens {
		files = append(files, &cfg.Signing.Tokens[i].PINFile)
	}
	for _, name := range files {
		if *name != "" && !filepath.IsAbs(*name) {
			*name = filepath.Join(dir, *name)
		}
	}
	if err := cfg.validate(); err != nil {
		return Config{}, fmt.Errorf("configuration %s:\n%w", file, err)
	}
	return cfg, nil
}

// validate reports every fault at once.
func (c Config) validate() error {
	var faults []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf("  "+format, args...))
		}
	}
	fault(c.Data == "", "data: name a folder")
	fault(len(c.Roles) == 0, "roles: name at least one of api, connectors, sink, engine, signing")
	for _, role := range c.Roles {
		known := slices.Contains([]string{roleAPI, roleConnectors, roleSink, roleEngine, roleSigning}, role)
		fault(!known, "roles: %q is not a role: use api, connectors, sink, engine or signing", role)
	}
	fault(c.has(roleSigning) && len(c.Roles) > 1, "roles: signing runs in a process of its own, or as part of api without being named")
	c.Signing.validate(fault)
	base, err := url.Parse(c.BaseURL)
	fault(err != nil || base.Host == "" || !strings.HasPrefix(base.Scheme, "http"), "base_url: %q is not an http or https URL", c.BaseURL)
	for name, address := range map[string]string{"rest": c.Listen.REST, "grpc": c.Listen.GRPC, "engine": c.Listen.Engine} {
		_, _, err := net.SplitHostPort(address)
		fault(address != "" && err != nil, "listen.%s: %q is not HOST:PORT", name, address)
	}
	answers := c.has(roleAPI) || c.has(roleSigning)
	fault(answers && (c.Listen.REST == "" || c.Listen.GRPC == ""), "listen: the roles api and signing need rest and grpc addresses")
	fault(c.has(roleEngine) && c.Listen.Engine == "", "listen: the role engine needs an engine address")
	fault(c.has(roleEngine) && c.ClickHouse != embedded, "clickhouse: the role engine serves the embedded engine; set clickhouse: embedded")
	fault(c.Topics != embedded && !strings.HasPrefix(c.Topics, "kafka://"), "topics: %q must be embedded or kafka://HOST:PORT", c.Topics)
	fault(c.ClickHouse != embedded && !strings.HasPrefix(c.ClickHouse, "http://") && !strings.HasPrefix(c.ClickHouse, "https://"),
		"clickhouse: %q must be embedded or http://HOST:PORT/DATABASE", c.ClickHouse)
	fault(c.Database != embedded && !strings.HasPrefix(c.Database, "sqlite:") && !strings.HasPrefix(c.Database, "postgres://"),
		"database: must be embedded, sqlite:FILE or postgres://…")
	fault(c.Partitions < 1 || c.Partitions > 64, "partitions: must be 1 to 64, not %d", c.Partitions)
	split := !c.has(roleAPI) || !c.has(roleConnectors) || !c.has(roleSink)
	alone := len(c.Roles) == 1 && (c.has(roleEngine) || c.has(roleSigning)) // neither needs topics or records
	fault(split && !alone && c.Topics == embedded, "topics: the embedded broker lives in one process: with only some roles here, set kafka://…")
	fault(split && !alone && c.ClickHouse == embedded && !c.has(roleEngine), "clickhouse: with only some roles here, set the http:// address of a ClickHouse or of a process with the role engine")
	slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(faults...)
}

func (c Config) has(role string) bool { return slices.Contains(c.Roles, role) }

// databaseURL is the URL of the state database.
func (c Config) databaseURL() string {
	if c.Database == embedded {
		return "sqlite:" + filepath.Join(c.Data, "state.db")
	}
	return c.Database
}

// topicsURL is the URL of the broker.
func (c Config) topicsURL() string {
	if c.Topics == embedded {
		return "embedded:" + filepath.Join(c.Data, "topics")
	}
	return c.Topics
}
