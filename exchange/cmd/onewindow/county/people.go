package county

import (
	"fmt"
	"time"
)

// date is a number of days since the year began.
type date int

// cents is an amount of money.
type cents int64

func (d date) time() time.Time { return yearStart().AddDate(0, 0, int(d)) }

// enterprise is a row of the market regulation's register.
type enterprise struct {
	uscc, name, legalPerson, kind, region, address, phone, status string
	capital                                                       cents
	established                                                   date
}

// resident is a row of the public security's register.
type resident struct {
	number, name, sex, domicile, region, address, phone string
	birth                                               date
}

// marriage is one party's row of the civil affairs' register.
type marriage struct {
	party, spouse resident
	certificate   string
	registered    date
}

// usccSerials is the number of serials a USCC has room for, and of steps
// through them that do not meet one twice.
const usccSerials = 31 * 31 * 31 * 31 * 31 * 31

func (c *County) enterprise(i int) enterprise {
	d := newDraw(streamEnterprise, i)
	var e enterprise
	category, suffix := "91", "有限公司"
	switch roll := d.n(100); {
	case roll < 45:
		e.kind = "company"
	case roll < 90:
		e.kind, category, suffix = "individual", "92", pick(d, []string{"店", "经营部", "商行"})
	default:
		e.kind, category, suffix = "cooperative", "93", "专业合作社"
	}
	e.uscc = uscc(category, region, (i*15_485_863+271_828)%usccSerials)
	e.name = countyName + tradeName(d) + pick(d, trades()) + suffix
	e.legalPerson = personName(d)
	e.capital = cents(d.between(1, 500)) * 1_000_000
	if d.permille(100) {
		e.capital += cents(d.n(1_000_000))
	}
	e.established = date(-d.between(1, 7000))
	home := pick(d, c.places[1:])
	e.region, e.address, e.phone = home.code, address(d, home), phone(d)
	e.status = "active"
	if d.permille(30) {
		e.status = "cancelled"
	}
	return e
}

const (
	// The adults of the county are born in 16,000 days from 1 January 1956.
	birthDays = 16_000
	// Male and female residents of a pair are born at most this many days apart.
	pairDays = 2_000
)

// migrant says whether a resident's domicile is elsewhere.
func migrant(i int) bool { return i/2%20 < 3 }

// resident makes the i-th resident. 2p and 2p+1 are a man and a woman of
// similar age, who may be married. Citizen numbers are unique for every i: a
// birthday comes once in 16,000 pairs, and the sequence counts the rounds.
func (c *County) resident(i int) resident {
	d := newDraw(streamResident, i)
	pair := i / 2
	born := pair * 7919 % birthDays
	r := resident{sex: "男"}
	sequence := pair/birthDays*200 + 2*d.n(100)
	if i%2 == 0 {
		sequence++
	} else {
		r.sex = "女"
		born = born/pairDays*pairDays + pairDays - 1 - born%pairDays
	}
	birth := time.Date(1956, time.January, 1, 0, 0, 0, 0, china()).AddDate(0, 0, born)
	r.birth = date(int(birth.Sub(yearStart()).Hours()) / 24)
	r.domicile = region
	if migrant(i) {
		r.domicile = pick(d, []string{"420303", "420321", "610924", "610925", "500236", "411326"})
	}
	r.number = citizenNumber(r.domicile, birth, sequence)
	r.name = personName(d)
	home := pick(d, c.places[1:])
	r.region, r.address, r.phone = home.code, address(d, home), phone(d)
	return r
}

// couple returns the pair of residents that the k-th couple is.
func (c *County) couple(k int) (pair int) {
	pairs := c.size.residents / 2
	return (k*pairs + c.size.couples - 1) / c.size.couples
}

// coupleOf returns the couple that a resident belongs to, if any.
func (c *County) coupleOf(i int) (k int, married bool) {
	pair, pairs := i/2, c.size.residents/2
	if i >= c.size.residents {
		return 0, false
	}
	k = pair * c.size.couples / pairs
	return k, k < c.size.couples && c.couple(k) == pair
}

// marriage makes the row of one party of a couple: 2k the man's, 2k+1 the woman's.
func (c *County) marriage(i int) marriage {
	k := i / 2
	d := newDraw(streamMarriage, k)
	pair := c.couple(k)
	m := marriage{party: c.resident(2*pair + i%2), spouse: c.resident(2*pair + 1 - i%2)}
	younger := max(m.party.birth, m.spouse.birth)
	m.registered = min(younger+date(d.between(22*366, 30*366)), -1)
	m.certificate = fmt.Sprintf("J%s-%04d-%06d", region, m.registered.time().Year(), k+1)
	return m
}

func trades() []string {
	return []string{
		"茶业", "食品", "建材", "商贸", "农业开发", "餐饮", "百货", "五金", "文化传媒", "物流", "建筑工程", "电子商务",
		"药房", "汽车服务", "家政服务", "种植", "养殖", "旅游", "网络科技", "服饰",
	}
}

// backslashed are characters whose second GBK byte is that of a backslash: a
// reader that is not aware of the charset takes them apart.
const backslashed = "誠錦琝璡"

func tradeName(d *draw) string {
	if d.permille(40) {
		return string(pick(d, []rune(backslashed))) + pick(d, []string{"信", "绣", "源"})
	}
	first := []rune("鑫瑞祥兴盛华泰恒宏金福顺裕康安达丰润天禾")
	second := []rune("源达丰隆和顺康泰利昌发旺茂盛通汇")
	return string(pick(d, first)) + string(pick(d, second))
}

func personName(d *draw) string {
	surnames := []rune("王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许邓韩冯曹彭曾肖田董袁潘于蒋蔡余杜叶程魏苏吕丁任沈姚卢姜崔钟谭陆汪范金石廖贾夏韦付方白邹孟熊秦邱江尹薛闫段雷侯龙史陶黎贺顾毛郝龚邵万钱严覃武戴莫孔向汤")
	given := []rune("伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华玉兰红梅建国志文斌波辉鹏飞宇浩然子轩梓涵欣怡雨泽晨曦佳琪思远嘉诚俊熙博雅晓东海燕春生福全永康德胜金凤银花长林")
	name := string(pick(d, surnames)) + string(pick(d, given))
	switch roll := d.n(100); {
	case roll < 4:
		name += string(pick(d, []rune(backslashed)))
	case roll < 74:
		name += string(pick(d, given))
	}
	return name
}

func address(d *draw, home place) string {
	if d.permille(30) {
		return fmt.Sprintf("%s%s,\"福源小区\"%d号楼%d单元", countyName, home.name, d.between(1, 20), d.between(1, 4))
	}
	return fmt.Sprintf("%s%s%d组%d号", countyName, home.name, d.between(1, 12), d.between(1, 199))
}

func phone(d *draw) string {
	return fmt.Sprintf("1%c%09d", "35789"[d.n(5)], d.n(1_000_000_000))
}
