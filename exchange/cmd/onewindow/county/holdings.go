package county

import (
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"time"

	licensesv1 "github.com/onewindow/onewindow/proto/licenses/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// grantLicenses sets how far into the registers the licences reach: only
// those whose rows are clean get one.
func (c *County) grantLicenses() {
	reach := func(total, wanted int, entitled func(i int) bool) int {
		for i := range total {
			if wanted == 0 {
				return i
			}
			if entitled(i) {
				wanted--
			}
		}
		return total
	}
	c.licensedEnterprises = reach(c.size.enterprises, c.size.businessLicenses, c.cleanEnterprise)
	c.licensedResidents = reach(c.size.residents, c.size.residencePermits, func(i int) bool {
		return migrant(i) && c.residentDirt[i] == clean
	})
	c.licensedCouples = reach(c.size.couples, c.size.marriageCertificates/2, c.cleanCouple)
	for i := 0; i < c.licensedResidents; i += 2 {
		if migrant(i) {
			c.permitPairs++
		}
	}
}

func (c *County) cleanEnterprise(i int) bool {
	return i < c.size.enterprises && c.enterpriseDirt[i] == clean
}

// cleanCouple says whether both parties are clean in both registers.
func (c *County) cleanCouple(k int) bool {
	man := 2 * c.couple(k)
	return c.residentDirt[man] == clean && c.residentDirt[man+1] == clean && c.marriageDirt[2*k] == clean && c.marriageDirt[2*k+1] == clean
}

// cleanResident says whether a resident's rows are clean, the marriage included.
func (c *County) cleanResident(i int) bool {
	if i >= c.size.residents || c.residentDirt[i] != clean {
		return false
	}
	k, married := c.coupleOf(i)
	return !married || c.cleanCouple(k)
}

// holds says whether the county has what satisfies a material of an applicant:
// a licence that was granted, or a row that is accepted.
func (c *County) holds(m material, applicant int) bool {
	switch m.licenseType {
	case c.catalog.businessLicense:
		if applicant < c.licensedEnterprises && c.cleanEnterprise(applicant) {
			return true
		}
	case c.catalog.residencePermit:
		if applicant < c.licensedResidents && migrant(applicant) && c.residentDirt[applicant] == clean {
			return true
		}
	case c.catalog.marriageCertificate:
		if k, married := c.coupleOf(applicant); married && k < c.licensedCouples && c.cleanCouple(k) {
			return true
		}
	}
	switch m.resource {
	case "market.enterprise":
		return applicant < c.size.enterprises && c.enterpriseDirt[applicant].rule() == ""
	case "police.resident":
		return applicant < c.size.residents && c.residentDirt[applicant].rule() == ""
	case "civil.marriage":
		k, married := c.coupleOf(applicant)
		return married && c.marriageDirt[2*k+applicant%2].rule() == ""
	}
	return false
}

// resolve counts the distinct materials that matters need, and those of them
// that the applicant has to bring. The matters are all for enterprises or all for persons.
func (c *County) resolve(applicant int, matters []int) (required, submitted int) {
	seen := map[int]bool{}
	for _, m := range matters {
		for _, i := range c.catalog.matters[m].materials {
			if seen[i] {
				continue
			}
			seen[i] = true
			required++
			if !c.holds(c.catalog.materials[i], applicant) {
				submitted++
			}
		}
	}
	return required, submitted
}

// Licenses makes the requests for the 20,000 sample licences: business
// licences, residence permits and marriage certificates, all unlimited, all for
// holders whose rows are clean.
func (c *County) Licenses() iter.Seq[*licensesv1.IssueLicenseRequest] {
	return func(yield func(*licensesv1.IssueLicenseRequest) bool) {
		for i := range c.licensedEnterprises {
			if c.cleanEnterprise(i) && !yield(c.businessLicense(i)) {
				return
			}
		}
		for i := range c.licensedResidents {
			if migrant(i) && c.residentDirt[i] == clean && !yield(c.residencePermit(i)) {
				return
			}
		}
		for i := range 2 * c.licensedCouples {
			if c.cleanCouple(i/2) && !yield(c.marriageCertificate(i)) {
				return
			}
		}
	}
}

func (c *County) businessLicense(i int) *licensesv1.IssueLicenseRequest {
	e := c.enterprise(i)
	return &licensesv1.IssueLicenseRequest{
		RequestId: fmt.Sprintf("sample-business-%06d", i), Type: c.catalog.businessLicense, Department: market,
		Holder: e.uscc, HolderName: e.name, ValidFrom: timestamppb.New(e.established.time()),
		Claims: claims(map[string]any{
			"uscc": e.uscc, "name": e.name, "legal_person": e.legalPerson, "capital": json.Number(e.capital.String()),
			"established": e.established.String(), "address": e.address,
		}),
	}
}

func (c *County) residencePermit(i int) *licensesv1.IssueLicenseRequest {
	r := c.resident(i)
	granted := time.Date(2024, time.January, 1, 0, 0, 0, 0, china()).AddDate(0, 0, i%300)
	return &licensesv1.IssueLicenseRequest{
		RequestId: fmt.Sprintf("sample-residence-%06d", i), Type: c.catalog.residencePermit, Department: police,
		Holder: r.number, HolderName: r.name, ValidFrom: timestamppb.New(granted),
		Claims: claims(map[string]any{
			"name": r.name, "sex": r.sex, "citizen_number": r.number, "birth_date": r.birth.String(), "address": r.address,
		}),
	}
}

func (c *County) marriageCertificate(i int) *licensesv1.IssueLicenseRequest {
	m := c.marriage(i)
	return &licensesv1.IssueLicenseRequest{
		RequestId: fmt.Sprintf("sample-marriage-%06d", i), Type: c.catalog.marriageCertificate, Department: civil,
		Holder: m.party.number, HolderName: m.party.name, ValidFrom: timestamppb.New(m.registered.time()),
		Claims: claims(map[string]any{
			"certificate_number": m.certificate, "registered_date": m.registered.String(), "name": m.party.name,
			"citizen_number": m.party.number, "spouse_name": m.spouse.name, "spouse_citizen_number": m.spouse.number,
		}),
	}
}

func claims(members map[string]any) []byte {
	text, err := json.Marshal(members)
	if err != nil {
		panic(err) // strings and numbers only
	}
	return text
}

func (d date) String() string { return d.time().Format(time.DateOnly) }

// String writes the amount in yuan with two decimals.
func (c cents) String() string { return fmt.Sprintf("%d.%02d", c/100, c%100) }

// Application is a question to the hub whose answer is known: what does this
// applicant still have to bring?
type Application struct {
	// Applicant is a citizen number or a USCC.
	Applicant string
	// Matters are one matter code, or several that are done at once.
	Matters    []string
	CaseNumber string
	// Required is the number of distinct materials that the matters need, ToBeSubmitted of those that the county does not hold.
	Required, ToBeSubmitted int
}

// Applications picks some hundreds of the year's cases, every fourth with
// further matters of the same kind, and says what the hub must answer once all
// sources are read and all licences issued. Every applicant's rows are clean,
// or the applicant is a stranger of whom there are none.
func (c *County) Applications() []Application {
	wanted := max(40, 400/c.options.Scale)
	var list []Application
	for i := range c.cases {
		record := &c.cases[i]
		first := &c.catalog.matters[record.matter]
		applicant := int(record.applicant)
		known := c.cleanResident(applicant) || applicant >= c.size.residents
		if first.enterprise {
			known = c.cleanEnterprise(applicant) || applicant >= c.size.enterprises
		}
		if !known || !spread(i, wanted*5/4, len(c.cases)) || len(list) == wanted {
			continue
		}
		matters := []int{int(record.matter)}
		if len(list)%4 == 3 {
			matters = append(matters, c.others(i, first.enterprise)...)
		}
		list = append(list, c.application(i, matters))
	}
	return list
}

// others draws one or two further matters for the same kind of applicant.
func (c *County) others(i int, enterprise bool) []int {
	d := newDraw(streamCase, -1-i)
	var list []int
	for len(list) < 1+i%2 {
		m := d.n(len(c.catalog.matters))
		if c.catalog.matters[m].enterprise == enterprise && m != int(c.cases[i].matter) && !slices.Contains(list, m) {
			list = append(list, m)
		}
	}
	return list
}

func (c *County) application(i int, matters []int) Application {
	a := Application{CaseNumber: c.caseNumber(i)}
	applicant := int(c.cases[i].applicant)
	if c.catalog.matters[matters[0]].enterprise {
		a.Applicant = c.enterprise(applicant).uscc
	} else {
		a.Applicant = c.resident(applicant).number
	}
	for _, m := range matters {
		a.Matters = append(a.Matters, c.catalog.matters[m].code)
	}
	a.Required, a.ToBeSubmitted = c.resolve(applicant, matters)
	return a
}
