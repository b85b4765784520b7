package county

import (
	"embed"
	"fmt"
	"slices"
	"strconv"
	"strings"

	exchangev1 "github.com/onewindow/onewindow/proto/exchange/v1"
	licensesv1 "github.com/onewindow/onewindow/proto/licenses/v1"
)

//go:embed data schemas
var embedded embed.FS

// department is a department and the system that holds its cases.
type department struct {
	code, title, uscc, system string
	// weight is its relative number of cases; overduePermille how many of them miss their limit.
	weight, overduePermille int
	// firstMatter and matters are its range in the list of matters.
	firstMatter, matters int
}

// matter is a service item with what only the county knows of it.
type matter struct {
	code, title           string
	department            int
	kind                  exchangev1.MatterType
	promised, statutory   int
	enterprise            bool // asked for by enterprises, not persons
	materials             []int
	wantsPermit, wantsTie bool // asks for a residence permit, for a marriage
}

// material is an entry of the shared list: one material, one code.
type material struct {
	code, title, licenseType, resource string
	enterprise                         bool
}

// catalog is what the county's departments offer and ask for.
type catalog struct {
	departments []department
	matters     []matter
	materials   []material
	// Licence type codes.
	businessLicense, residencePermit, marriageCertificate string
}

// subjectActions gives the five items that each subject has, by its class.
func subjectActions(class byte) []string {
	switch class {
	case 'E':
		return []string{"核发", "变更", "延续", "补发", "注销"}
	case 'F':
		return []string{"备案", "变更备案", "年度报告", "备案证明出具", "注销备案"}
	case 'P':
		return []string{"申领", "变更", "换发", "补发", "注销"}
	default:
		return []string{"申请", "变更", "复核", "证明出具", "终止"}
	}
}

// readLines splits an embedded table into fields, without its comments.
func readLines(name string) [][]string {
	text, err := embedded.ReadFile(name)
	if err != nil {
		panic(err) // the file is part of the program
	}
	var lines [][]string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			lines = append(lines, strings.Split(line, "|"))
		}
	}
	return lines
}

func newCatalog() catalog {
	var c catalog
	lines := readLines("data/departments.txt")
	for i, fields := range lines {
		weight, err := strconv.Atoi(fields[3])
		if err != nil {
			panic(err) // the file is part of the program
		}
		c.departments = append(c.departments, department{
			code: fields[0], title: countyName + fields[1], system: fields[2], weight: weight,
			uscc:            uscc("11", region, 1000+i*37),
			overduePermille: newDraw(streamDepartment, i).between(6, 34),
		})
	}
	c.businessLicense = c.departments[0].uscc + "001"
	c.residencePermit = c.departments[1].uscc + "001"
	c.marriageCertificate = c.departments[2].uscc + "001"
	c.materials = c.readMaterials()
	for i, fields := range lines {
		c.departments[i].firstMatter = len(c.matters)
		for s, subject := range strings.Split(fields[4], ";") {
			for a, action := range subjectActions(subject[0]) {
				c.matters = append(c.matters, c.newMatter(i, s, a, subject, action))
			}
		}
		c.departments[i].matters = len(c.matters) - c.departments[i].firstMatter
	}
	return c
}

func (c *catalog) readMaterials() []material {
	var list []material
	types := map[string]string{
		"license:business": c.businessLicense, "license:residence": c.residencePermit, "license:marriage": c.marriageCertificate,
	}
	for i, fields := range readLines("data/materials.txt") {
		m := material{code: fmt.Sprintf("CL%04d", i+1), title: fields[1], enterprise: fields[0] == "E"}
		if len(fields) == 3 {
			for held := range strings.SplitSeq(fields[2], ",") {
				if resource, ok := strings.CutPrefix(held, "resource:"); ok {
					m.resource = resource
				} else {
					m.licenseType = types[held]
				}
			}
		}
		list = append(list, m)
	}
	return list
}

// newMatter makes the item of one subject and action. Promised limits are at
// most 40 % of the statutory ones, as the county's own rule demands.
func (c *catalog) newMatter(dept, subject, action int, text, actionName string) matter {
	d := newDraw(streamMatter, dept*1000+subject*10+action)
	m := matter{
		code:       fmt.Sprintf("%s-%s-%02d%d", region, c.departments[dept].code, subject+1, action+1),
		title:      text[1:] + "(" + actionName + ")",
		department: dept,
		enterprise: text[0] == 'E' || text[0] == 'F',
	}
	switch roll := d.n(100); {
	case action >= 3 || roll < 12:
		m.kind, m.statutory, m.promised = exchangev1.MatterType_MATTER_TYPE_IMMEDIATE, pick(d, []int{5, 10, 20}), 1
	case roll < 88:
		m.kind, m.statutory = exchangev1.MatterType_MATTER_TYPE_PROMISED, pick(d, []int{10, 15, 20, 20, 30})
		m.promised = d.between(m.statutory/10+1, m.statutory*2/5)
	case roll < 94:
		m.kind, m.statutory = exchangev1.MatterType_MATTER_TYPE_JOINT, pick(d, []int{45, 60})
		m.promised = d.between(6, m.statutory*2/5)
	default:
		m.kind, m.statutory = exchangev1.MatterType_MATTER_TYPE_FORWARDED, pick(d, []int{20, 30})
		m.promised = d.between(4, m.statutory*2/5)
	}
	c.askMaterials(&m, d)
	return m
}

// askMaterials gives a matter 3 to 9 materials, about two thirds of which the
// county already holds of most applicants.
func (c *catalog) askMaterials(m *matter, d *draw) {
	total := d.between(3, 9)
	held := (total*68 + d.n(100)) / 100
	var pools [2][]int // what the county may hold, what has to be brought
	for i, material := range c.materials {
		switch {
		case material.enterprise != m.enterprise:
		case material.licenseType == "" && material.resource == "":
			pools[1] = append(pools[1], i)
		// Few matters ask for a residence permit or a marriage.
		case material.licenseType == c.residencePermit:
			if m.wantsPermit = d.permille(150); m.wantsPermit {
				m.materials = append(m.materials, i)
			}
		case material.resource == "civil.marriage":
			if d.permille(120) && len(m.materials) < held {
				m.wantsTie = true
				m.materials = append(m.materials, i)
			}
		default:
			pools[0] = append(pools[0], i)
		}
	}
	take := func(pool []int, until int) {
		for len(m.materials) < until && len(pool) > 0 {
			i := d.n(len(pool))
			m.materials = append(m.materials, pool[i])
			pool = append(pool[:i], pool[i+1:]...)
		}
	}
	take(pools[0], held)
	take(pools[1], total)
}

// itemType is the name of a matter type in case events.
func (m matter) itemType() string {
	return strings.ToLower(strings.TrimPrefix(m.kind.String(), "MATTER_TYPE_"))
}

// Departments returns the 38 departments.
func (c *County) Departments() []*exchangev1.Department {
	var list []*exchangev1.Department
	for _, d := range c.catalog.departments {
		list = append(list, &exchangev1.Department{Code: d.code, Uscc: d.uscc, Title: d.title, Region: region})
	}
	return list
}

// Matters returns the 1,330 service items with their materials.
func (c *County) Matters() []*exchangev1.Matter {
	var list []*exchangev1.Matter
	for _, m := range c.catalog.matters {
		out := &exchangev1.Matter{
			Code: m.code, Title: m.title, Department: c.catalog.departments[m.department].code, Type: m.kind,
			PromisedDays: int32(m.promised), StatutoryDays: int32(m.statutory), //nolint:gosec // at most 60
		}
		for _, i := range m.materials {
			material := c.catalog.materials[i]
			out.Materials = append(out.Materials, &exchangev1.Material{
				Code: material.code, Title: material.title, LicenseType: material.licenseType, Resource: material.resource,
			})
		}
		list = append(list, out)
	}
	return list
}

// LicenseTypes returns the types of the sample licences: business licence,
// residence permit and marriage certificate.
func (c *County) LicenseTypes() []*licensesv1.LicenseType {
	return []*licensesv1.LicenseType{
		{Code: c.catalog.businessLicense, Title: "营业执照", DisclosableClaims: []string{"capital", "address"}, Face: face(
			"legal_person", "法定代表人", "capital", "注册资本（元）", "established", "成立日期", "address", "住所")},
		{Code: c.catalog.residencePermit, Title: "居住证", DisclosableClaims: []string{"citizen_number", "birth_date", "address"}, Face: face(
			"sex", "性别", "birth_date", "出生日期", "address", "居住地址")},
		{Code: c.catalog.marriageCertificate, Title: "结婚证", DisclosableClaims: []string{"citizen_number", "spouse_name", "spouse_citizen_number"}, Face: face(
			"certificate_number", "结婚证字号", "registered_date", "登记日期", "spouse_name", "配偶姓名", "spouse_citizen_number", "配偶身份证件号")},
	}
}

// face pairs claims with what is printed before them.
func face(pairs ...string) []*licensesv1.FaceField {
	var fields []*licensesv1.FaceField
	for pair := range slices.Chunk(pairs, 2) {
		fields = append(fields, &licensesv1.FaceField{Claim: pair[0], Label: pair[len(pair)-1]})
	}
	return fields
}

// Issuers are the departments that issue the sample licences.
func (c *County) Issuers() []*exchangev1.Department {
	var issuers []*exchangev1.Department
	for _, d := range c.Departments() {
		if code := d.GetCode(); code == market || code == police || code == civil {
			issuers = append(issuers, d)
		}
	}
	return issuers
}
