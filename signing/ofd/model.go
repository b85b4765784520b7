package ofd

import "time"

// Lengths are millimetres. A page's origin is its upper left corner, y points
// down (GB/T 33190-2016 §7.6).

// Box is a rectangle (ST_Box).
type Box struct{ X, Y, Width, Height float64 }

// contains tells whether b lies within the box, but for rounding.
func (b Box) contains(inner Box) bool {
	const rounding = 0.01
	return inner.X >= b.X-rounding && inner.Y >= b.Y-rounding &&
		inner.X+inner.Width <= b.X+b.Width+rounding && inner.Y+inner.Height <= b.Y+b.Height+rounding
}

// Matrix is a transformation a b c d e f: x' = ax + cy + e, y' = bx + dy + f.
type Matrix [6]float64

// Identity is the transformation that leaves everything where it is.
func Identity() Matrix { return Matrix{1, 0, 0, 1, 0, 0} }

// Info is what a document says about itself (DocInfo). None of it is needed to
// show the document.
type Info struct {
	DocID, Title, Author, Creator string
	// Created is CreationDate, zero if absent or unreadable.
	Created time.Time
	// Custom is CustomDatas: in an e-licence its metadata (GB/T 36903).
	Custom []CustomData
}

// CustomData is one name and value of CustomDatas, e.g. ZZBS and the licence's number.
type CustomData struct{ Name, Value string }

// Document is the one document of a file (DocBody and its Document.xml).
type Document struct {
	Info Info
	// Root is the path of Document.xml.
	Root string
	// Signatures is the path of Signatures.xml, empty if there is none.
	Signatures string
	// Area is the size of a page that states none of its own.
	Area Box
	// Pages are the pages in reading order.
	Pages []PageRef
	// Templates are the pages laid under or over others.
	Templates map[ID]PageRef
	// Annotations are the paths of the parts that annotate a page.
	Annotations map[ID][]string
	// Attachments are the files attached, none of them shown.
	Attachments []Attachment
	// Resources are those of the whole document.
	Resources Resources
	// Notes name what is missing of the document.
	Notes []Note
}

// PageRef says where the content of a page or template is.
type PageRef struct {
	ID   ID
	Path string
	// ZOrder of a template: "Background" or "Foreground".
	ZOrder string
}

// Attachment is a file carried along.
type Attachment struct {
	Name, Format, Path string
}

// Resources are what objects refer to by ID.
type Resources struct {
	Fonts map[ID]*Font
	Media map[ID]*Media

	spaces     map[ID]colorSpace
	params     map[ID]*drawParam
	composites map[ID]*composite
}

// Font is a font (CT_Font).
type Font struct {
	ID                              ID
	Name, Family, Charset           string
	Bold, Italic, Serif, FixedWidth bool
	// Path is the embedded font's entry, empty if the reader's own font is meant.
	Path string
}

// Media is a picture, sound or film (CT_MultiMedia).
type Media struct {
	ID           ID
	Type, Format string
	// Path is its entry.
	Path string
}

// Page is a page ready to be painted: layers in order, each object after those below it.
type Page struct {
	ID ID
	// Box is the paper (PhysicalBox).
	Box Box
	// Layers hold the page's content with its templates merged in.
	Layers []Layer
	// Annotations are painted last.
	Annotations []Annotation
	// Resources are the document's and the page's own.
	Resources Resources
	// Notes name what of the page is not in this model, the document's among them.
	Notes []Note
}

// Layer is a list of objects.
type Layer struct {
	// Type is "Background", "Body" or "Foreground".
	Type    string
	Objects []Object
}

// Annotation is what was added to a page (CT_Annot).
type Annotation struct {
	// Type is e.g. "Stamp", "Watermark", "Link".
	Type    string
	Visible bool
	// Box is where on the page the objects' coordinates begin.
	Box     Box
	Objects []Object
}

// Object is a *Text, *Path, *Image or *Group.
type Object interface{ graphic() *Graphic }

// Graphic is what all objects have in common (CT_GraphicUnit), with the
// drawing parameters it refers to worked in.
type Graphic struct {
	ID ID
	// Boundary is where on the page, or in the group, the object's own coordinates begin.
	Boundary Box
	// CTM is applied to the object's own coordinates.
	CTM     Matrix
	Visible bool
	// Alpha is the opacity, 0 to 1.
	Alpha float64
	// Clips restrict the object: it shows within the union of each list's areas.
	Clips [][]ClipArea
	// Fill and Stroke are the colours, nil if it is not filled or stroked.
	Fill, Stroke *Color
	Pen          Pen
}

func (g *Graphic) graphic() *Graphic { return g }

// Pen is how lines are drawn.
type Pen struct {
	Width float64
	// Cap is "Butt", "Round" or "Square".
	Cap string
	// Join is "Miter", "Round" or "Bevel".
	Join       string
	MiterLimit float64
	Dash       []float64
	DashOffset float64
}

// Color is a colour in sRGB with its opacity, 0 to 255.
type Color struct {
	R, G, B, Alpha uint8
	// Shading is the element of a pattern or gradient of which this is the first
	// colour, e.g. "AxialShd"; empty for a plain colour.
	Shading string
}

// ClipArea is a shape that an object is clipped to, in the object's own coordinates.
type ClipArea struct {
	CTM      Matrix
	Boundary Box
	EvenOdd  bool
	Segments []Segment
}

// Text is a piece of text (TextObject).
type Text struct {
	Graphic
	Font ID
	// Size is the height of an em.
	Size float64
	// HScale stretches the characters horizontally.
	HScale float64
	// ReadDirection and CharDirection are degrees: 0, 90, 180, 270.
	ReadDirection, CharDirection int
	Bold, Italic                 bool
	Runs                         []Run
}

// Run is a row of characters (TextCode).
type Run struct {
	// X and Y are the base point of the first character within the boundary.
	X, Y float64
	// DeltaX and DeltaY are the distances from one character to the next.
	DeltaX, DeltaY []float64
	Text           string
	// Glyphs replace characters by glyphs of the embedded font (CGTransform).
	Glyphs []GlyphRun
}

// GlyphRun replaces Count characters from Position of the run by glyphs.
type GlyphRun struct {
	Position, Count int
	Glyphs          []uint16
}

// Path is a shape (PathObject).
type Path struct {
	Graphic
	EvenOdd  bool
	Segments []Segment
}

// Segment is one command of AbbreviatedData: 'M', 'L', 'Q', 'B', 'A' or 'C',
// with 2, 2, 4, 6, 7 or 0 arguments.
type Segment struct {
	Op   byte
	Args [7]float64
}

// Image is a picture on the unit square, scaled by its CTM (ImageObject).
type Image struct {
	Graphic
	// Media is the picture's ID.
	Media ID
}

// Group is a group of objects in coordinates of its own (PageBlock, CompositeObject).
type Group struct {
	Graphic
	Objects []Object
}
