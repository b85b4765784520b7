package ofd

import (
	"fmt"
	"slices"
	"strconv"
	"unicode"
)

// Note names something of a page that is not shown as its maker meant it. What a
// page leaves out it names: a reader never omits in silence.
type Note struct {
	Code NoteCode
	// Object is the object that it is about, 0 if it is about more than one.
	Object ID
	// Subject is what Code speaks of, e.g. a part's path; may be empty.
	Subject string
}

// NoteCode is the kind of a note, a stable name.
type NoteCode string

// The notes.
const (
	NotePartMissing      NoteCode = "OFD_PART_MISSING"      // Subject: the part's path
	NoteTemplateMissing  NoteCode = "OFD_TEMPLATE_MISSING"  // Subject: the template's ID
	NoteCompositeMissing NoteCode = "OFD_COMPOSITE_MISSING" // Subject: the unit's ID
	NoteObjectUnknown    NoteCode = "OFD_OBJECT_UNKNOWN"    // Subject: the element's name
	NoteClipText         NoteCode = "OFD_CLIP_TEXT"
	NoteShading          NoteCode = "OFD_SHADING" // Subject: the element's name
	NoteGroupOpacity     NoteCode = "OFD_GROUP_OPACITY"
	NoteOutOfRange       NoteCode = "OFD_OUT_OF_RANGE"

	NoteImageMissing    NoteCode = "OFD_IMAGE_MISSING"    // Subject: the resource's ID or path
	NoteImageFormat     NoteCode = "OFD_IMAGE_FORMAT"     // Subject: the format, e.g. JBIG2
	NoteImageUnreadable NoteCode = "OFD_IMAGE_UNREADABLE" // Subject: the path
	NoteImageTooLarge   NoteCode = "OFD_IMAGE_TOO_LARGE"  // Subject: the path
	NoteImageMask       NoteCode = "OFD_IMAGE_MASK"
	NoteImageBorder     NoteCode = "OFD_IMAGE_BORDER"

	NoteFontUnreadable NoteCode = "OFD_FONT_UNREADABLE" // Subject: the path
	NoteGlyphMissing   NoteCode = "OFD_GLYPH_MISSING"   // Subject: the character, e.g. U+F0000
	NoteGlyphDamaged   NoteCode = "OFD_GLYPH_DAMAGED"

	NoteSealList       NoteCode = "OFD_SEAL_LIST"       // Subject: the path of Signatures.xml
	NoteSealUnreadable NoteCode = "OFD_SEAL_UNREADABLE" // Subject: the path of Signature.xml
	NoteSealPage       NoteCode = "OFD_SEAL_PAGE"       // Subject: the path of Signature.xml
	NoteSealPicture    NoteCode = "OFD_SEAL_PICTURE"    // Subject: the picture's type

	// NoteMore stands for those beyond the most that are kept. Subject: their number.
	NoteMore NoteCode = "OFD_MORE"
)

// NoteCodes returns every code.
func NoteCodes() []NoteCode {
	return []NoteCode{
		NotePartMissing, NoteTemplateMissing, NoteCompositeMissing, NoteObjectUnknown, NoteClipText, NoteShading, NoteGroupOpacity,
		NoteOutOfRange, NoteImageMissing, NoteImageFormat, NoteImageUnreadable, NoteImageTooLarge, NoteImageMask, NoteImageBorder,
		NoteFontUnreadable, NoteGlyphMissing, NoteGlyphDamaged, NoteSealList, NoteSealUnreadable, NoteSealPage, NoteSealPicture, NoteMore,
	}
}

// String is what a clerk should read.
func (n Note) String() string {
	text := n.Code.text()
	if n.Subject != "" {
		text += "（" + n.Subject + "）"
	}
	if n.Object != 0 {
		text = fmt.Sprintf("对象 %d：%s", n.Object, text)
	}
	return text
}

func (c NoteCode) text() string {
	switch c {
	case NotePartMissing:
		return "文件缺少其引用的部分，未显示"
	case NoteTemplateMissing:
		return "模板页缺失，未显示"
	case NoteCompositeMissing:
		return "复合图元缺失，未显示"
	case NoteObjectUnknown:
		return "不认识的图元，未显示"
	case NoteClipText:
		return "以文字为形状的裁剪区未生效"
	case NoteShading:
		return "渐变或底纹以其第一种颜色显示"
	case NoteGroupOpacity:
		return "整组的透明度逐个作用于其中的图元"
	case NoteOutOfRange:
		return "有对象的坐标超出范围，未显示"
	case NoteImageMissing:
		return "图片缺失，未显示"
	case NoteImageFormat:
		return "图片格式不受支持，未显示"
	case NoteImageUnreadable:
		return "图片无法读取，未显示"
	case NoteImageTooLarge:
		return "图片过大，未显示"
	case NoteImageMask:
		return "图片的遮罩未生效"
	case NoteImageBorder:
		return "图片的边框未显示"
	case NoteFontUnreadable:
		return "内嵌字体无法读取，以宋体代替"
	case NoteGlyphMissing:
		return "字符没有可用字形，未显示"
	case NoteGlyphDamaged:
		return "内嵌字体中有字形损坏，未显示"
	case NoteSealList:
		return "签章清单缺失或损坏，印章未显示"
	case NoteSealUnreadable:
		return "签章无法读取，印章未显示"
	case NoteSealPage:
		return "印章所在的页不存在，印章未显示"
	case NoteSealPicture:
		return "电子印章图片无法显示"
	case NoteMore:
		return "另有未列出的问题"
	}
	return string(c)
}

// maxNotes is how many notes of a page are kept.
const maxNotes = 50

// AddNote adds a note unless it is there. Those beyond the most that are kept
// are counted in a last one.
func AddNote(list []Note, n Note) []Note {
	n.Subject = plain(n.Subject)
	if slices.Contains(list, n) {
		return list
	}
	if len(list) < maxNotes {
		return append(list, n)
	}
	if len(list) == maxNotes {
		return append(list, Note{Code: NoteMore, Subject: "1"})
	}
	last := &list[maxNotes]
	if count, err := strconv.Atoi(last.Subject); err == nil {
		last.Subject = strconv.Itoa(count + 1)
	}
	return list
}

// plain keeps what a note may show of a foreign word.
func plain(s string) string {
	const most = 80
	runes := make([]rune, 0, min(len(s), most))
	for _, r := range s {
		if len(runes) == most {
			break
		}
		if r < 0x20 || r == 0x7f || r >= 0x80 && !unicode.Is(unicode.Han, r) {
			r = '?'
		}
		runes = append(runes, r)
	}
	return string(runes)
}
