package county

import "fmt"

const (
	// region of the county: 420396 is not assigned in GB/T 2260.
	region     = "420396"
	countyName = "青禾县"
	towns      = 15
	villages   = 296
)

// place is the county, one of its towns or one of their villages.
type place struct{ code, name string }

// places lists the county, then its 15 towns, then its 296 villages. Towns
// have codes 100 and up, townships 200 and up, villages 200 and up in each.
func places() []place {
	townNames := []string{
		"城关镇", "桃源镇", "柳河镇", "白石镇", "双溪镇", "清泉镇", "龙坪镇", "石门镇", "竹园镇", "枫林镇",
		"云台乡", "马鞍乡", "红岩乡", "梅坪乡", "松岭乡",
	}
	first := []string{"桃", "柳", "白", "双", "清", "龙", "石", "竹", "枫", "云", "马", "红", "梅", "松", "大", "小", "东", "西", "南", "上"}
	second := []string{"河", "坪", "湾", "岭", "溪", "沟", "坝", "垭", "塘", "庙", "桥", "园", "寨", "坡", "井", "洞", "店", "林", "峪", "泉"}
	list := []place{{region, countyName}}
	for i, name := range townNames {
		code := 100 + i
		if i >= 10 {
			code = 200 + i - 10
		}
		list = append(list, place{fmt.Sprintf("%s%03d", region, code), name})
	}
	for i := range villages {
		town := list[1+i%towns]
		n := i * 7 % (len(first) * len(second))
		name := first[n%len(first)] + second[(n/len(first)+i)%len(second)] + "村"
		list = append(list, place{fmt.Sprintf("%s%03d", town.code, 200+i/towns), town.name + name})
	}
	return list
}
