package county

import "time"

// Instants are seconds since the year began in China Standard Time: small, and
// free of the machine's time zone.

const (
	minute = 60
	hour   = 60 * minute
	day    = 24 * hour
	// daysOfYear of 2025, the year of the county's cases.
	daysOfYear = 365
)

func china() *time.Location { return time.FixedZone("", 8*3600) }

// yearStart is 1 January 2025, 00:00 in China.
func yearStart() time.Time { return time.Date(2025, time.January, 1, 0, 0, 0, 0, china()) }

// workingDays lists the working days of 2025 as days of the year from 0, after
// the State Council's notice: weekends and holidays off, make-up days worked.
func workingDays() []int {
	// Both as month*100+day.
	holidays := map[int]bool{101: true, 404: true, 405: true, 406: true, 602: true, 531: true, 601: true}
	for d := range 4 {
		holidays[128+d] = true
		holidays[201+d] = true
	}
	for d := range 5 {
		holidays[501+d] = true
	}
	for d := range 8 {
		holidays[1001+d] = true
	}
	madeUp := map[int]bool{126: true, 208: true, 427: true, 928: true, 1011: true}
	var days []int
	for n := range daysOfYear {
		date := yearStart().AddDate(0, 0, n)
		code := int(date.Month())*100 + date.Day()
		weekend := date.Weekday() == time.Saturday || date.Weekday() == time.Sunday
		if madeUp[code] || !weekend && !holidays[code] {
			days = append(days, n)
		}
	}
	return days
}
