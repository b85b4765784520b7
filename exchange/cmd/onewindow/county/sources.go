package county

import (
	exchangev1 "github.com/onewindow/onewindow/proto/exchange/v1"
)

const (
	// nightlyAt is the time of day at which the public security writes its files.
	nightlyAt = 23*hour + 30*minute
	// changedNight is 18 September, when the residents' file had a column by another name.
	changedNight = 260
	// lastLateDay is the day after which nothing is late, so that all is entered within the year.
	lastLateDay = 330
)

// registerDay spreads the changes of a register over the year.
func registerDay(i, total int) int { return i * daysOfYear / total }

// residentDay gives the day of a resident's row: three fifths are in the first file.
func residentDay(i int) int {
	if onChangedNight(i) {
		return changedNight
	}
	if i%5 < 3 {
		return 0
	}
	night := 1 + int(mix(uint64(i))%(daysOfYear-1)) //nolint:gosec // i is not negative
	if night == changedNight {
		night++
	}
	return night
}

func onChangedNight(i int) bool { return i%175 == 9 }

// officeHour is an instant of a day between 9 and 17 o'clock.
func officeHour(i, n int) instant {
	return instant(n*day + 9*hour + int(mix(uint64(i)+7)%(8*hour))) //nolint:gosec // below a year of seconds
}

// registerRefs makes the rows of a register, each changed on its day.
func registerRefs(total int, planted map[int]dirt, dayOf func(i int) int) []ref {
	refs := make([]ref, total)
	for i := range refs {
		refs[i] = ref{index: int32(i), occurred: officeHour(i, dayOf(i)), dirt: planted[i]}
	}
	return refs
}

func (c *County) enterpriseSource() *source {
	s := &source{
		name: "market/enterprise", resource: "market.enterprise", title: "经营主体登记信息", system: market, schema: "enterprise",
		kind: exchangev1.RecordKind_RECORD_KIND_REGISTER, share: exchangev1.ShareType_SHARE_TYPE_CONDITIONAL, delay: day,
		columns: []column{
			{"uscc", "统一社会信用代码", text},
			{"name", "名称", text},
			{"legal_person", "法定代表人", text},
			{"type", "主体类型", text},
			{"capital", "注册资本", decimal},
			{"established", "成立日期", calDate},
			{"region", "区划", text},
			{"address", "住所", text},
			{"phone", "联系电话", text},
			{"status", "状态", text},
		},
		key: []string{"uscc"}, phone: "phone", checked: "uscc", required: "legal_person",
	}
	s.fill = func(r ref, v []any) {
		e := c.enterprise(int(r.index))
		v[0], v[1], v[2], v[3], v[4] = e.uscc, e.name, e.legalPerson, e.kind, e.capital
		v[5], v[6], v[7], v[8], v[9] = e.established, e.region, e.address, e.phone, e.status
	}
	total := c.size.enterprises
	s.enter(registerRefs(total, c.enterpriseDirt, func(i int) int { return registerDay(i, total) }))
	return s
}

func (c *County) residentSource() *source {
	s := &source{
		name: "police/resident", resource: "police.resident", title: "人口基本信息", system: police, schema: "resident",
		kind: exchangev1.RecordKind_RECORD_KIND_REGISTER, share: exchangev1.ShareType_SHARE_TYPE_CONDITIONAL, delay: 2 * day,
		columns: []column{
			{"citizen_number", "公民身份号码", text},
			{"name", "姓名", text},
			{"sex", "性别", text},
			{"birth_date", "出生日期", calDate},
			{"domicile", "户籍地区划", text},
			{"region", "现住地区划", text},
			{"address", "现住址", text},
			{"phone", "手机号", text},
		},
		key: []string{"citizen_number"}, phone: "phone", checked: "citizen_number", required: "name",
	}
	s.fill = func(r ref, v []any) {
		p := c.resident(int(r.index))
		v[0], v[1], v[2], v[3] = p.number, p.name, p.sex, p.birth
		v[4], v[5], v[6], v[7] = p.domicile, p.region, p.address, p.phone
	}
	s.enter(registerRefs(c.size.residents, c.residentDirt, residentDay))
	return s
}

func (c *County) marriageSource() *source {
	s := &source{
		name: "civil/marriage", resource: "civil.marriage", title: "婚姻登记信息", system: civil, schema: "marriage",
		kind: exchangev1.RecordKind_RECORD_KIND_REGISTER, share: exchangev1.ShareType_SHARE_TYPE_CONDITIONAL, delay: day,
		columns: []column{
			{"citizen_number", "公民身份号码", text},
			{"name", "姓名", text},
			{"spouse_citizen_number", "配偶公民身份号码", text},
			{"spouse_name", "配偶姓名", text},
			{"certificate_number", "证书字号", text},
			{"registered_date", "登记日期", calDate},
			{"phone", "联系电话", text},
		},
		key: []string{"citizen_number"}, phone: "phone", checked: "citizen_number", required: "spouse_name",
	}
	s.fill = func(r ref, v []any) {
		m := c.marriage(int(r.index))
		v[0], v[1], v[2], v[3] = m.party.number, m.party.name, m.spouse.number, m.spouse.name
		v[4], v[5], v[6] = m.certificate, m.registered, m.party.phone
	}
	total := 2 * c.size.couples
	s.enter(registerRefs(total, c.marriageDirt, func(i int) int { return registerDay(i, total) }))
	return s
}

func (c *County) ticketSource() *source {
	s := &source{
		name: "civil/ticket", resource: "civil.ticket", title: "12345热线工单", system: civil, schema: "ticket",
		kind: exchangev1.RecordKind_RECORD_KIND_TICKET, share: exchangev1.ShareType_SHARE_TYPE_UNCONDITIONAL, delay: day,
		columns: []column{
			{"ticket_number", "工单编号", text},
			{"department", "承办部门", text},
			{"category", "类别", text},
			{"answered_days", "答复工作日", integer},
			{"satisfied", "是否满意", boolean},
		},
		key: []string{"ticket_number"}, required: "category", breached: "answered_days", breach: -1,
	}
	total := c.size.tickets
	categories := []string{"咨询", "投诉", "求助", "建议", "举报", "表扬"}
	s.fill = func(r ref, v []any) {
		d := newDraw(streamTicket, int(r.index))
		v[0] = "QH12345" + digits(2025, 4) + digits(int(r.index)+1, 5)
		v[1], v[2] = pick(d, c.catalog.departments).code, pick(d, categories)
		v[3] = d.n(5)
		if d.permille(35) {
			v[3] = d.between(6, 9)
		}
		v[4] = !d.permille(90)
	}
	dayOf := func(i int) int { return i * daysOfYear / total }
	planted := plant(total, c.options.Scale, []quota{{missing, 80}, {breach, 45}, {twice, 100}, {late, 90}}, func(i int, d dirt) bool {
		return d != late || dayOf(i) < lastLateDay
	})
	s.enter(registerRefs(total, planted, dayOf))
	return s
}

// caseEventQuotas is the dirt among the case events of a system.
func caseEventQuotas(system string) []quota {
	switch system {
	case market:
		return []quota{{missing, 240}, {breach, 110}, {twice, 300}, {late, 400}}
	case police:
		return []quota{{missing, 60}, {twice, 80}, {late, 50}, {malformed, 70}, {notGBK, 30}}
	default:
		return []quota{{missing, 50}, {breach, 24}, {twice, 60}, {late, 40}}
	}
}

// caseEventSource are the events of the cases that a system handles. An
// acceptance is never rejected: a case whose decision is known and whose
// acceptance is not would leave open what "completed" means.
func (c *County) caseEventSource(system string) *source {
	s := &source{
		name: system + "/case-event", resource: system + ".case-event", title: "办件环节信息", system: system, schema: "case-event",
		kind: exchangev1.RecordKind_RECORD_KIND_CASE_EVENT, share: exchangev1.ShareType_SHARE_TYPE_UNCONDITIONAL, delay: systemDelay(system),
		columns: []column{
			{"case_number", "办件编号", text},
			{"matter", "事项编码", text},
			{"department", "部门", text},
			{"region", "区划", text},
			{"event", "环节", text},
			{"sequence", "序号", integer},
			{"item_type", "事项类型", text},
			{"channel", "渠道", text},
			{"promised_days", "承诺工作日", integer},
			{"used_days", "用时工作日", integer},
			{"accepted_date", "受理日期", calDate},
			{"materials_required", "应交材料数", integer},
			{"materials_submitted", "实交材料数", integer},
		},
		key: []string{"case_number", "event", "sequence"}, required: "matter", breached: "channel", breach: "fax",
	}
	names := eventNames()
	s.fill = func(r ref, v []any) { c.fillEvent(r, names[r.event], v) }
	var refs []ref
	for i := range c.cases {
		if c.systemOf(i) != system {
			continue
		}
		sequence := uint8(0)
		for event, at := range c.cases[i].events() {
			if at > 0 {
				sequence++
				refs = append(refs, ref{index: int32(i), occurred: instant(at), event: uint8(event), sequence: sequence})
			}
		}
	}
	planted := plant(len(refs), c.options.Scale, caseEventQuotas(system), func(i int, d dirt) bool {
		return (d.rule() == "" || refs[i].event != eventAccepted) && (d != late || int(refs[i].occurred)/day < lastLateDay)
	})
	for i, d := range planted {
		refs[i].dirt = d
	}
	s.enter(refs)
	return s
}

func (c *County) fillEvent(r ref, name string, v []any) {
	record := &c.cases[r.index]
	m := &c.catalog.matters[record.matter]
	v[0], v[1], v[2], v[3] = c.caseNumber(int(r.index)), m.code, c.catalog.departments[m.department].code, c.places[record.place].code
	v[4], v[5], v[6], v[7], v[8] = name, int(r.sequence), m.itemType(), record.channel(), m.promised
	v[9], v[10], v[11], v[12] = nil, nil, nil, nil
	switch r.event {
	case eventAccepted:
		v[11], v[12] = int(record.required), int(record.submitted)
	case eventDecided:
		v[9], v[10] = int(record.used), date(record.accepted/day)
	default:
	}
}

func (r *caseRecord) channel() string {
	if r.online {
		return "online"
	}
	return "window"
}

// systemOf is the system that holds a case.
func (c *County) systemOf(i int) string {
	return c.catalog.departments[c.catalog.matters[c.cases[i].matter].department].system
}

func systemDelay(system string) int64 {
	if system == police {
		return 2 * day
	}
	return day
}

// ratingSource are the ratings of six in ten decided cases of a system, four
// in a thousand of them bad.
func (c *County) ratingSource(system string) *source {
	s := &source{
		name: system + "/rating", resource: system + ".rating", title: "政务服务好差评信息", system: system, schema: "rating",
		kind: exchangev1.RecordKind_RECORD_KIND_RATING, share: exchangev1.ShareType_SHARE_TYPE_UNCONDITIONAL, delay: systemDelay(system),
		columns: []column{
			{"case_number", "办件编号", text}, {"department", "部门", text}, {"level", "评价等级", integer}, {"channel", "渠道", text},
		},
		key: []string{"case_number"}, required: "level",
	}
	s.fill = func(r ref, v []any) {
		record := &c.cases[r.index]
		v[0], v[1] = c.caseNumber(int(r.index)), c.catalog.departments[c.catalog.matters[record.matter].department].code
		v[2], v[3] = int(r.sequence), record.channel()
	}
	var refs []ref
	for i := range c.cases {
		record := &c.cases[i]
		if record.decided == 0 || c.systemOf(i) != system || !spread(i*7919%c.size.cases, 6, 10) {
			continue
		}
		d := newDraw(streamRating, i)
		after := max(record.decided, record.delivered)
		at := min(after+int32(d.between(10*minute, 2*day)), daysOfYear*day-1) //nolint:gosec // small
		if int(at)%day > 22*hour {
			at = max(after, at/day*day+20*hour)
		}
		level := []int{5, 5, 5, 5, 5, 5, 5, 4, 4, 3}[d.n(10)]
		if d.permille(4) {
			level = d.between(1, 2)
		}
		refs = append(refs, ref{index: int32(i), occurred: instant(at), sequence: uint8(level)}) //nolint:gosec // small
	}
	quotas := []quota{{missing, 90}, {twice, 120}, {late, 60}}
	switch system {
	case police:
		quotas = []quota{{missing, 20}, {twice, 25}, {late, 15}, {malformed, 24}, {notGBK, 12}}
	case civil:
		quotas = []quota{{missing, 20}, {twice, 20}, {late, 15}}
	}
	planted := plant(len(refs), c.options.Scale, quotas, func(i int, d dirt) bool {
		return d != late || int(refs[i].occurred)/day < lastLateDay
	})
	for i, d := range planted {
		refs[i].dirt = d
	}
	s.enter(refs)
	return s
}
