package topic

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/connectors/charset"
	"github.com/onewindow/onewindow/exchange/bus"
)

const (
	openTimeout  = 30 * time.Second
	maxURLBytes  = 4096
	maxPartition = 100_000
	maxFetch     = 1 << 20 // messages of a fetch: all
	// emptyFetches is how often a partition may give nothing below its end before that is believed: the rest of it
	// are marks of transactions.
	emptyFetches = 3
)

// source implements [connectors.Source] and [connectors.Scanner] on a topic.
type source struct {
	def  connectors.Definition
	cfg  *connectors.Topic
	log  *slog.Logger
	now  func() time.Time
	rows *rowMaker
	// open connects to the cluster; a test on an embedded broker has another.
	open func(ctx context.Context, cfg bus.Config) (*bus.Bus, error)
	// maxKeys bounds the keys that Scan holds in memory.
	maxKeys int64
	// shared says that the bus is somebody else's to close.
	shared bool

	bus        *bus.Bus // nil when closed
	partitions []*partition
	turn       int           // the partition that is read, or the next to be
	pending    []bus.Message // of that partition, fetched and not handed on
	gap        bool          // said with the next batch
	told       map[int]int64 // partition to the offset at which a loss was reported; the second time it is got over
}

// partition is how far one partition was read.
type partition struct {
	place
	number int
	end    int64 // as of the last look
	reader *bus.Reader
	empty  int // fetches without a message
	// aborted counts the messages of aborted transactions that the reader had left out when that was last logged.
	aborted int64
}

// position is the place in every partition, by its number.
type position struct {
	Partitions map[string]place `json:"partitions"`
}

// place is the next offset, and of the last message before it the ChangedAt and a digest.
type place struct {
	Offset int64     `json:"offset"`
	Last   time.Time `json:"last,omitzero"`
	Digest string    `json:"digest,omitempty"`
	// Behind is how many offsets behind that message hold nothing that was committed.
	Behind int64 `json:"behind,omitempty"`
}

// New is the [connectors.Constructor] of topics.
func New(def connectors.Definition, logger *slog.Logger) (connectors.Source, error) {
	if def.Topic == nil {
		return nil, fmt.Errorf("%w: %s has no topic section", connectors.ErrDefinition, def.Name)
	}
	decoder, err := charset.New(def.Topic.Charset)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", connectors.ErrDefinition, def.Name, err)
	}
	return &source{
		def: def, cfg: def.Topic, log: logger, now: time.Now, rows: newRowMaker(def.Map, decoder), open: bus.Open, maxKeys: maxKeys, told: map[int]int64{},
	}, nil
}

// Open connects, finds the partitions and compares them with the position.
func (s *source) Open(ctx context.Context, after json.RawMessage) error {
	saved, err := parsePosition(after)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	s.partitions, s.pending, s.turn, s.gap = nil, nil, 0, false
	if s.bus, err = s.connect(ctx); err != nil {
		return err
	}
	count, err := s.bus.Partitions(ctx, s.cfg.Topic)
	if err != nil {
		return s.fault(ctx, "looking for", err)
	}
	for name := range saved.Partitions {
		if number, _ := strconv.Atoi(name); number >= count {
			return connectors.Refused(connectors.FaultPosition, connectors.ErrPosition,
				"topic %q has %d partitions, but partition %d was read before: it was made anew; give the source a new name to read it from the beginning", s.cfg.Topic, count, number)
		}
	}
	for number := range count {
		if err := s.begin(ctx, number, saved); err != nil {
			return err
		}
	}
	return nil
}

func parsePosition(after json.RawMessage) (position, error) {
	var at position
	if after == nil {
		return at, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(after))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&at)
	ok := err == nil && len(at.Partitions) > 0
	for name, place := range at.Partitions {
		number, err := strconv.Atoi(name)
		ok = ok && err == nil && number >= 0 && number < maxPartition && strconv.Itoa(number) == name && place.Offset >= 0 && place.Behind >= 0
	}
	if !ok {
		return position{}, fmt.Errorf("%w: what was saved is no position in a topic", connectors.ErrPosition)
	}
	return at, nil
}

// connect reads the address and opens the cluster.
func (s *source) connect(ctx context.Context) (*bus.Bus, error) {
	name := filepath.Base(s.cfg.URLFile)
	content, err := os.ReadFile(s.cfg.URLFile)
	if err != nil {
		return nil, connectors.Refused(connectors.FaultSecret, err, "url_file cannot be read")
	}
	address := strings.TrimSpace(string(content))
	if len(address) > maxURLBytes || strings.ContainsAny(address, "\r\n\x00") || !strings.HasPrefix(address, "kafka://") {
		return nil, connectors.Refused(connectors.FaultSecret, nil, "url_file %q must hold one line, like kafka://host:9092,host:9092?sasl=…", name)
	}
	b, err := s.open(ctx, bus.Config{URL: address, Logger: s.log})
	switch {
	case err == nil:
		return b, nil
	case ctx.Err() == nil && strings.HasPrefix(err.Error(), "bus: URL"), errors.Is(err, os.ErrNotExist):
		return nil, connectors.Refused(connectors.FaultSecret, err, "url_file %q cannot be used", name)
	}
	fault := s.fault(ctx, "connecting for", err)
	if u, uerr := url.Parse(address); uerr == nil && connectors.CodeOf(fault) == connectors.FaultUnreachable {
		host, _, _ := strings.Cut(u.Host, ",")
		fault = connectors.Mistaken(ctx, fault, host, "", fmt.Sprintf("url_file %q", name))
	}
	return nil, fault
}

// begin goes to the place in a partition after which messages are wanted.
func (s *source) begin(ctx context.Context, number int, saved position) error {
	first, end, err := s.bus.Bounds(ctx, s.cfg.Topic, number)
	if err != nil {
		return s.fault(ctx, "looking for", err)
	}
	p := &partition{number: number, end: end}
	s.partitions = append(s.partitions, p)
	at, known := saved.Partitions[strconv.Itoa(number)]
	if !known { // the beginning, or a partition that was added
		p.Offset = first
		return nil
	}
	p.place = at
	if p.Last.After(s.now().Add(maxAhead)) { // older versions believed any timestamp
		p.Last = time.Time{}
	}
	if same, err := s.same(ctx, p, first, end); err != nil || same {
		return err
	}
	return s.lost(ctx, p, first, fmt.Sprintf("another message lies at offset %d than the one that was read there, so the topic was made anew", p.Offset-1-p.Behind))
}

// same says whether a partition still has the message that was read last. If there is no telling, it has.
func (s *source) same(ctx context.Context, p *partition, first, end int64) (bool, error) {
	last := p.Offset - 1 - p.Behind
	if p.Digest == "" || last < first || p.Offset > end {
		return true, s.within(ctx, p, first, end)
	}
	reader, err := s.bus.Read(ctx, s.cfg.Topic, p.number, last)
	if err != nil {
		return false, s.fault(ctx, "reading", err)
	}
	messages, err := reader.Next(ctx, 1)
	if err != nil && !errors.Is(err, bus.ErrGap) {
		return false, s.fault(ctx, "reading", err)
	}
	return len(messages) == 0 || messages[0].Offset != last || digest(&messages[0]) == p.Digest, nil
}

// within compares the place in a partition with what the partition has, and reports what is missing.
func (s *source) within(ctx context.Context, p *partition, first, end int64) error {
	p.end = end
	switch {
	case p.Offset < first:
		return s.lost(ctx, p, first, fmt.Sprintf("messages from offset %d up to %d were deleted before they were read", p.Offset, first-1))
	case p.Offset > end:
		return s.lost(ctx, p, first, fmt.Sprintf("it ends at offset %d, although %d were read: the topic was made anew, or lost its end", end, p.Offset))
	}
	return nil
}

// lost reports that messages are gone, the first time; the second time it goes on with those that are there.
func (s *source) lost(ctx context.Context, p *partition, first int64, what string) error {
	if at, told := s.told[p.number]; !told || at != p.Offset {
		s.told[p.number] = p.Offset
		return connectors.Refused(connectors.FaultRemoved, nil,
			"partition %d of topic %q: %s; reading goes on with what is there, and what was missed has to be compared", p.number, s.cfg.Topic, what)
	}
	s.log.WarnContext(ctx, "messages are gone; going on with the first that is there",
		slog.String("topic", s.cfg.Topic), slog.Int("partition", p.number), slog.Int64("offset", p.Offset), slog.Int64("first", first))
	s.gap = true
	p.Offset, p.Digest, p.Behind, p.reader = first, "", 0, nil // Last stays: what comes is later than what was
	return nil
}

// Close ends the connection.
func (s *source) Close(context.Context) error {
	b := s.bus
	s.bus, s.pending, s.partitions = nil, nil, nil
	if b == nil || s.shared {
		return nil
	}
	return b.Close()
}

// Read returns messages of the partition whose turn it is, and of the next ones.
func (s *source) Read(ctx context.Context) (connectors.Batch, error) {
	if s.bus == nil || s.partitions == nil {
		return connectors.Batch{}, fmt.Errorf("%w: %s is not open", connectors.ErrNotConnected, s.def.Name)
	}
	if err := ctx.Err(); err != nil {
		return connectors.Batch{}, err
	}
	if len(s.pending) == 0 && !s.behind() {
		if err := s.look(ctx); err != nil {
			return connectors.Batch{}, err
		}
	}
	var rows []connectors.Row
	size := 0
	for len(rows) < s.def.Batch && size < connectors.MaxBatchBytes {
		if len(s.pending) == 0 {
			if !s.behind() {
				break
			}
			if err := s.fetch(ctx); err != nil {
				return connectors.Batch{}, err
			}
			continue
		}
		m := &s.pending[0]
		s.pending = s.pending[1:]
		p := s.partitions[m.Partition]
		p.Offset, p.Digest, p.Behind = m.Offset+1, digest(m), 0
		row := s.rows.row(m, changedAt(m.Time, p.Last, s.now()))
		p.Last = row.ChangedAt
		rows = append(rows, row)
		size += len(row.Raw)
	}
	if len(rows) == 0 && !s.gap {
		return connectors.Batch{}, connectors.ErrCaughtUp
	}
	encoded, err := s.encode()
	if err != nil {
		return connectors.Batch{}, err
	}
	batch := connectors.Batch{Rows: rows, Position: encoded, Gap: s.gap}
	s.gap = false
	return batch, nil
}

func (s *source) encode() (json.RawMessage, error) {
	at := position{Partitions: make(map[string]place, len(s.partitions))}
	for _, p := range s.partitions {
		at.Partitions[strconv.Itoa(p.number)] = p.place
	}
	encoded, err := json.Marshal(at)
	if err != nil {
		return nil, fmt.Errorf("connectors: encode position: %w", err)
	}
	return encoded, nil
}

// behind says whether a partition is known to have more than was read of it.
func (s *source) behind() bool {
	return slices.ContainsFunc(s.partitions, func(p *partition) bool { return p.Offset < p.end })
}

// look asks for the ends of all partitions, and for new ones.
func (s *source) look(ctx context.Context) error {
	for _, p := range s.partitions {
		first, end, err := s.bus.Bounds(ctx, s.cfg.Topic, p.number)
		if err != nil {
			return s.fault(ctx, "reading", err)
		}
		if err := s.within(ctx, p, first, end); err != nil {
			return err
		}
	}
	count, err := s.bus.Partitions(ctx, s.cfg.Topic)
	if err != nil {
		return s.fault(ctx, "reading", err)
	}
	for number := len(s.partitions); number < count; number++ {
		if err := s.begin(ctx, number, position{}); err != nil {
			return err
		}
	}
	return nil
}

// fetch fills pending from the next partition that is behind, or finds that it has nothing that can be read.
func (s *source) fetch(ctx context.Context) error {
	for s.partitions[s.turn].Offset >= s.partitions[s.turn].end {
		s.turn = (s.turn + 1) % len(s.partitions)
	}
	p := s.partitions[s.turn]
	if p.reader == nil || p.reader.Offset() != p.Offset {
		var err error
		p.aborted = 0
		if p.reader, err = s.bus.Read(ctx, s.cfg.Topic, p.number, p.Offset); err != nil {
			return s.outOfRange(ctx, p, err)
		}
	}
	messages, err := p.reader.Next(ctx, maxFetch)
	var hole *bus.GapError
	switch {
	case errors.As(err, &hole):
		p.reader = nil
		return s.hole(ctx, p, hole)
	case err != nil:
		p.reader = nil
		return s.outOfRange(ctx, p, err)
	case len(messages) == 0 && p.reader.Offset() > p.Offset: // what lies there was never committed
		p.Behind += p.reader.Offset() - p.Offset
		p.Offset, p.empty = p.reader.Offset(), 0
	case len(messages) == 0:
		if p.empty++; p.empty >= emptyFetches {
			p.end, p.empty = p.Offset, 0
		}
	default:
		s.pending, p.empty = messages, 0
	}
	if p.reader != nil && p.reader.Aborted() > p.aborted {
		s.log.InfoContext(ctx, "messages of aborted transactions are left out",
			slog.String("topic", s.cfg.Topic), slog.Int("partition", p.number), slog.Int64("messages", p.reader.Aborted()-p.aborted))
		p.aborted = p.reader.Aborted()
	}
	s.turn = (s.turn + 1) % len(s.partitions)
	return nil
}

// hole goes on behind offsets that are left out: by compaction or transactions if the partition begins before them,
// otherwise because they were deleted meanwhile.
func (s *source) hole(ctx context.Context, p *partition, hole *bus.GapError) error {
	first, end, err := s.bus.Bounds(ctx, s.cfg.Topic, p.number)
	if err != nil {
		return s.fault(ctx, "reading", err)
	}
	before := p.Offset
	if err := s.within(ctx, p, first, end); err != nil || p.Offset != before {
		return err
	}
	s.log.DebugContext(ctx, "offsets are left out", slog.Int("partition", p.number), slog.Int64("from", hole.From), slog.Int64("to", hole.To))
	p.Offset, p.Digest, p.Behind = hole.To, "", 0
	return nil
}

// outOfRange reports messages that were deleted while they were about to be read.
func (s *source) outOfRange(ctx context.Context, p *partition, err error) error {
	if !errors.Is(err, bus.ErrOffsetOutOfRange) {
		return s.fault(ctx, "reading", err)
	}
	first, end, err := s.bus.Bounds(ctx, s.cfg.Topic, p.number)
	if err != nil {
		return s.fault(ctx, "reading", err)
	}
	return s.within(ctx, p, first, end)
}

// fault says whether the cluster is away or does not agree with the definition.
func (s *source) fault(ctx context.Context, doing string, err error) error {
	switch {
	case ctx.Err() != nil && errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case errors.Is(err, bus.ErrUnknownTopic):
		return connectors.Refused(connectors.FaultTable, nil, "there is no topic %q, or no right to see it; is its name right?", s.cfg.Topic)
	case ctx.Err() != nil:
		return connectors.Away(connectors.FaultSlow, err, "%s topic %q", doing, s.cfg.Topic)
	case containsAny(err, "SASL", "Topic Authorization", "Group Authorization", "Cluster Authorization"):
		return connectors.Refused(connectors.FaultCredentials, err, "%s topic %q: user, password or rights are wrong", doing, s.cfg.Topic)
	}
	return connectors.Away(connectors.FaultUnreachable, err, "%s topic %q", doing, s.cfg.Topic)
}

func containsAny(err error, parts ...string) bool {
	return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(err.Error(), part) })
}
