package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/proto/message"
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
	// Language of what callers who ask for none, and operators, read: zh or en. Empty means zh for callers, and for
	// operators the language of their environment (LC_ALL, LANG).
	Language message.Language `yaml:"language"`
	// Sample makes tokens of the sample county's department, clerk and analyst beside the administrator's.
	Sample bool `yaml:"sample"`
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
		return Config{}, wrongUsage(err, "cli.CONFIG_FILE", "file", file)
	}
	if err := connectors.BoundYAML(text); err != nil {
		return Config{}, wrongUsage(err, "cli.CONFIG_YAML", "file", file)
	}
	if err := unknownKeys(file, text); err != nil {
		return Config{}, err
	}
	if err := yaml.UnmarshalWithOptions(text, &cfg, yaml.DisallowUnknownField()); err != nil {
		return Config{}, wrongUsage(errors.New(yaml.FormatError(err, false, true)), "cli.CONFIG_YAML", "file", file)
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
		return Config{}, err
	}
	return cfg, nil
}

// validate reports every fault at once.
func (c Config) validate() error {
	var faults []error
	fault := func(bad bool, code string, pairs ...string) {
		if bad {
			faults = append(faults, wrongUsage(nil, code, pairs...))
		}
	}
	fault(c.Data == "", "cli.CONFIG_DATA")
	fault(len(c.Roles) == 0, "cli.CONFIG_NO_ROLE")
	for _, role := range c.Roles {
		known := slices.Contains([]string{roleAPI, roleConnectors, roleSink, roleEngine, roleSigning}, role)
		fault(!known, "cli.CONFIG_ROLE", "role", role)
	}
	fault(c.has(roleSigning) && len(c.Roles) > 1, "cli.CONFIG_SIGNING_ALONE")
	c.Signing.validate(func(bad bool, format string, args ...any) {
		fault(bad, "cli.CONFIG_SIGNING", "fault", fmt.Sprintf(format, args...))
	})
	base, err := url.Parse(c.BaseURL)
	fault(err != nil || base.Host == "" || !strings.HasPrefix(base.Scheme, "http"), "cli.CONFIG_BASE_URL", "value", c.BaseURL)
	for name, address := range map[string]string{"rest": c.Listen.REST, "grpc": c.Listen.GRPC, "engine": c.Listen.Engine} {
		_, port, err := net.SplitHostPort(address)
		number, portErr := strconv.Atoi(port)
		fault(address != "" && (err != nil || portErr != nil || number < 0 || number > 65535), "cli.CONFIG_ADDRESS", "setting", "listen."+name, "value", address)
	}
	answers := c.has(roleAPI) || c.has(roleSigning)
	fault(answers && (c.Listen.REST == "" || c.Listen.GRPC == ""), "cli.CONFIG_LISTEN_API")
	fault(c.has(roleEngine) && c.Listen.Engine == "", "cli.CONFIG_LISTEN_ENGINE")
	fault(c.has(roleEngine) && c.ClickHouse != embedded, "cli.CONFIG_ENGINE_EMBEDDED")
	fault(c.Topics != embedded && !strings.HasPrefix(c.Topics, "kafka://"), "cli.CONFIG_TOPICS", "value", c.Topics)
	fault(c.ClickHouse != embedded && !strings.HasPrefix(c.ClickHouse, "http://") && !strings.HasPrefix(c.ClickHouse, "https://"), "cli.CONFIG_CLICKHOUSE")
	fault(c.Database != embedded && !strings.HasPrefix(c.Database, "sqlite:") && !strings.HasPrefix(c.Database, "postgres://"), "cli.CONFIG_DATABASE")
	fault(c.Partitions < 1 || c.Partitions > 64, "cli.CONFIG_PARTITIONS", "value", strconv.Itoa(c.Partitions))
	fault(c.Language != "" && c.Language != message.Chinese && c.Language != message.English, "cli.CONFIG_LANGUAGE", "value", string(c.Language))
	split := !c.has(roleAPI) || !c.has(roleConnectors) || !c.has(roleSink)
	alone := len(c.Roles) == 1 && (c.has(roleEngine) || c.has(roleSigning)) // neither needs topics or records
	fault(split && !alone && c.Topics == embedded, "cli.CONFIG_SPLIT_TOPICS")
	fault(split && !alone && c.ClickHouse == embedded && !c.has(roleEngine), "cli.CONFIG_SPLIT_CLICKHOUSE")
	slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(faults...)
}

// checkFiles reports every file that the configuration names and that cannot
// be read.
func (c Config) checkFiles() error {
	named := []setting{
		{"passphrase_file", c.PassphraseFile},
		{"clickhouse_password_file", c.ClickHousePasswordFile},
		{"signing.certificate", c.Signing.Certificate},
		{"signing.roots", c.Signing.Roots},
	}
	for _, token := range c.Signing.Tokens {
		named = append(named, setting{"signing.tokens.pin_file", token.PINFile})
	}
	var faults []error
	for _, s := range named {
		if s.address == "" {
			continue
		}
		text, err := os.ReadFile(s.address)
		if err != nil || strings.TrimSpace(string(text)) == "" {
			faults = append(faults, wrongUsage(err, "cli.CONFIG_NAMED_FILE", "setting", s.name, "file", s.address))
		}
	}
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
