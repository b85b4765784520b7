package county

// Options choose a county.
type Options struct {
	// Scale divides every number of rows: 1, or 0, is the full county, 100 one of the same shape for tests. At most 100.
	Scale int
	// SQLite keeps the market regulation's database in a SQLite file even where PostgreSQL is installed.
	SQLite bool
}

// County is the sample county. It holds no rows, only what is needed to make
// any of them, and never changes; all its methods may be called concurrently.
type County struct {
	options Options
	size    size
	catalog catalog
	places  []place
	cases   []caseRecord
	sources []*source
	// dirt of the registers by row, which decides what the county holds of whom.
	enterpriseDirt, residentDirt, marriageDirt map[int]dirt
	// Licences go to the clean ones among the first so many enterprises, residents and couples.
	licensedEnterprises, licensedResidents, licensedCouples int
	// permitPairs is how many pairs of migrants are among the licensed residents.
	permitPairs int
}

// size says how many rows of each kind there are, without rows that come twice.
type size struct {
	enterprises, residents, couples, cases, undecided, tickets int
	businessLicenses, residencePermits, marriageCertificates   int
}

func newSize(scale int) size {
	s := size{
		enterprises: 12_000 / scale,
		residents:   35_000 / scale * 2,
		couples:     9_000 / scale,
		cases:       89_648 / scale,
		tickets:     40_000 / scale,
	}
	// 89,223 of 89,648 are decided.
	s.undecided = max(1, 425/scale)
	licenses := 20_000 / scale
	s.businessLicenses = licenses * 45 / 100
	s.marriageCertificates = licenses / 8 * 2
	s.residencePermits = licenses - s.businessLicenses - s.marriageCertificates
	return s
}

// New makes a county, always the same one for the same options.
func New(options Options) *County {
	options.Scale = min(max(options.Scale, 1), 100)
	c := &County{options: options, size: newSize(options.Scale), catalog: newCatalog(), places: places()}
	c.plantRegisters()
	c.grantLicenses()
	c.makeCases()
	c.sources = []*source{
		c.enterpriseSource(),
		c.caseEventSource(market), c.ratingSource(market),
		c.residentSource(),
		c.caseEventSource(police), c.ratingSource(police),
		c.marriageSource(),
		c.caseEventSource(civil), c.ratingSource(civil),
		c.ticketSource(),
	}
	return c
}

// plantRegisters decides which rows of the registers are dirty.
func (c *County) plantRegisters() {
	scale := c.options.Scale
	c.enterpriseDirt = plant(c.size.enterprises, scale, []quota{
		{checkDigit, 120}, {missing, 80}, {wide, 150}, {twice, 90}, {late, 60},
	}, func(i int, d dirt) bool {
		return d != late || registerDay(i, c.size.enterprises) < lastLateDay
	})
	c.residentDirt = plant(c.size.residents, scale, []quota{
		{checkDigit, 210}, {missing, 140}, {wide, 260}, {twice, 180}, {late, 90}, {malformed, 120}, {notGBK, 75},
	}, func(i int, d dirt) bool {
		return !onChangedNight(i) && (d != late || residentDay(i) < lastLateDay)
	})
	for i := range c.size.residents {
		if onChangedNight(i) {
			c.residentDirt[i] = columnChanged
		}
	}
	c.marriageDirt = plant(2*c.size.couples, scale, []quota{
		{checkDigit, 70}, {missing, 50}, {wide, 80}, {twice, 60}, {late, 40},
	}, func(i int, d dirt) bool {
		return d != late || registerDay(i, 2*c.size.couples) < lastLateDay
	})
}
