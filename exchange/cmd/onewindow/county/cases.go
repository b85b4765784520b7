package county

import exchangev1 "github.com/onewindow/onewindow/proto/exchange/v1"

// caseRecord is one case: what was asked for, by whom, and when what happened,
// in seconds since the year began; 0 means that it did not happen.
type caseRecord struct {
	accepted, suspended, resumed, decided, delivered int32
	steps                                            [3]int32
	matter, place                                    int16
	applicant                                        int32 // enterprise or resident, by the matter
	used                                             int16 // working days
	required, submitted                              int8  // materials
	online                                           bool
}

// number is the case number: region, day of acceptance, serial.
func (c *County) caseNumber(i int) string {
	day := yearStart().AddDate(0, 0, int(c.cases[i].accepted)/day)
	return region + day.Format("20060102") + digits(i+1, 6)
}

// digits writes n with leading zeros.
func digits(n, width int) string {
	text := make([]byte, width)
	for i := width - 1; i >= 0; i-- {
		text[i] = byte('0' + n%10)
		n /= 10
	}
	return string(text)
}

// makeCases makes all cases in the order of the days of their acceptance.
// Undecided are some of those that were accepted in the last weeks.
func (c *County) makeCases() {
	working := workingDays()
	cumulative := make([]int, len(c.catalog.departments))
	total := 0
	for i, dept := range c.catalog.departments {
		total += dept.weight
		cumulative[i] = total
	}
	n := c.size.cases
	lastWeeks := max(n/20, c.size.undecided)
	c.cases = make([]caseRecord, n)
	for i := range n {
		d := newDraw(streamCase, i)
		r := &c.cases[i]
		roll, dept := d.n(total), 0
		for roll >= cumulative[dept] {
			dept++
		}
		owner := c.catalog.departments[dept]
		// The first items of a department are asked for most.
		r.matter = int16(owner.firstMatter + min(d.n(owner.matters), d.n(owner.matters))) //nolint:gosec // below 1,330
		switch roll := d.n(100); {
		case roll < 55:
			r.place = int16(d.between(1, towns)) //nolint:gosec // below 400
		case roll < 70:
			r.place = int16(d.between(towns+1, towns+villages)) //nolint:gosec // below 400
		}
		r.online = d.permille(720)
		m := &c.catalog.matters[r.matter]
		r.applicant = int32(c.applicant(d, m)) //nolint:gosec // below 100,000
		required, submitted := c.resolve(int(r.applicant), []int{int(r.matter)})
		r.required, r.submitted = int8(required), int8(submitted) //nolint:gosec // at most 9
		late := i - (n - lastWeeks)
		undecided := late >= 0 && spread(late, c.size.undecided, lastWeeks)
		r.run(d, m, owner.overduePermille, working, i*len(working)/n, undecided)
	}
}

// run lets a case happen: accepted on the working day with this index, decided
// after the days that its matter takes, within the year.
func (r *caseRecord) run(d *draw, m *matter, overdue int, working []int, first int, undecided bool) {
	at := func(index, from, until int) int32 {
		return int32(working[index]*day + from*hour + d.n((until-from)*hour)) //nolint:gosec // below a year of seconds
	}
	r.accepted = at(first, 9, 17)
	if r.online {
		r.accepted = at(first, 7, 21)
	}
	if undecided {
		r.steps[0] = r.accepted + int32(d.between(10*minute, hour)) //nolint:gosec // small
		return
	}
	used, paused := duration(d, m, overdue)
	left := len(working) - 1 - first
	if used+paused > left {
		used, paused = min(used, left), 0
	}
	r.used = int16(used) //nolint:gosec // small
	if used == 0 {
		took := int32(d.between(10*minute, 50*minute)) //nolint:gosec // small
		r.decided = r.accepted + took
		if d.permille(550) {
			r.steps[0] = r.accepted + took/2
		}
	} else {
		r.decided = at(first+used+paused, 9, 17)
		r.steps[0] = r.accepted + int32(d.between(5*minute, 30*minute)) //nolint:gosec // small
		if d.permille(450) || m.kind == exchangev1.MatterType_MATTER_TYPE_JOINT {
			r.steps[1] = r.decided/day*day + 8*hour + int32(d.n(40*minute)) //nolint:gosec // small
		}
		if m.kind == exchangev1.MatterType_MATTER_TYPE_JOINT {
			r.steps[2] = r.decided/day*day + 8*hour + int32(41*minute+d.n(18*minute)) //nolint:gosec // small
		}
	}
	if paused > 0 {
		stop := d.n(used)
		r.suspended = at(first+stop, 9, 16)
		if stop == 0 {
			r.suspended = r.accepted + int32(d.between(31*minute, 2*hour)) //nolint:gosec // small
		}
		r.resumed = at(first+stop+paused, 9, 16)
	}
	handed := r.decided + int32(d.between(5*minute, hour)) //nolint:gosec // small
	if r.online && d.permille(400) {
		handed = r.decided/day*day + int32(d.between(1, 3)*day+d.between(10*hour, 17*hour)) //nolint:gosec // small
	}
	if handed < daysOfYear*day {
		r.delivered = handed
	}
}

// duration draws the working days that a case uses and for which it is suspended.
func duration(d *draw, m *matter, overdue int) (used, paused int) {
	beyond := d.permille(overdue)
	switch {
	case beyond:
		return m.promised + d.between(1, 5), 0
	case m.kind == exchangev1.MatterType_MATTER_TYPE_IMMEDIATE:
		return 0, 0
	}
	used = min(d.between(1, m.promised), d.between(1, m.promised))
	if d.permille(80) {
		paused = d.between(2, 7)
	}
	return used, paused
}

// applicant draws who asks for a matter: mostly somebody of whom the county
// knows something, sometimes a stranger, whose index is beyond the register.
func (c *County) applicant(d *draw, m *matter) int {
	roll := d.n(1000)
	switch {
	case m.enterprise && roll < 25:
		return c.size.enterprises + d.n(c.size.enterprises)
	case m.enterprise:
		return d.n(c.size.enterprises)
	case roll < 25:
		return c.size.residents + d.n(c.size.residents/4)
	case m.wantsPermit && roll < 700:
		n := d.n(c.permitPairs)
		return 2*(n/3*20+n%3) + d.n(2)
	case m.wantsTie && roll < 800:
		return 2*c.couple(d.n(c.size.couples)) + d.n(2)
	default:
		return d.n(c.size.residents)
	}
}

// eventNames are the names of case events in the order of [caseRecord.events].
func eventNames() []string {
	return []string{"accepted", "step", "suspended", "resumed", "step", "step", "decided", "delivered"}
}

// Positions in eventNames of the events that carry more than the others.
const (
	eventAccepted = 0
	eventDecided  = 6
)

// events gives the instants of the events of a case in the order of
// [eventNames]; 0 means that there is none.
func (r *caseRecord) events() [8]int32 {
	return [8]int32{r.accepted, r.steps[0], r.suspended, r.resumed, r.steps[1], r.steps[2], r.decided, r.delivered}
}
