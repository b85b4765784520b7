package ofd

import "fmt"

// Stamp is a place for a seal's picture.
type Stamp struct {
	// Page counts from 0.
	Page int
	// Box is where the whole picture goes.
	Box Box
	// Clip, relative to Box, is the part that shows; nil is all of it.
	Clip *Box
}

// visible is the part of the page that the picture covers.
func visible(box Box, clip *Box) Box {
	if clip == nil {
		return box
	}
	return Box{box.X + clip.X, box.Y + clip.Y, clip.Width, clip.Height}
}

// leastSlice is how narrow a slice of a riding seal may be, in mm.
const leastSlice = 2

// RidingStamps returns the places of a riding seal (骑缝章): each page has a slice
// of the picture at its right edge, half way down, so that fanned out pages show
// it whole. Where slices would be narrower than 2 mm, each group of pages has
// the whole picture. A file of one page has no seam: ErrDraft.
func (p *Package) RidingStamps(width, height float64) ([]Stamp, error) {
	d, err := p.Document()
	if err != nil {
		return nil, err
	}
	n := len(d.Pages)
	if n < 2 || width < 2*leastSlice || height <= 0 {
		return nil, fmt.Errorf("%w: a riding seal of %g mm over %d page(s)", ErrDraft, width, n)
	}
	most := int(width / leastSlice)
	groups := (n + most - 1) / most
	list := make([]Stamp, 0, n)
	for g := range groups {
		// Groups of equal size, as near as can be: none is of a single page.
		first, last := g*n/groups, (g+1)*n/groups
		slice := width / float64(last-first)
		for i := first; i < last; i++ {
			paper, err := p.paper(i)
			if err != nil {
				return nil, err
			}
			if paper.Width < slice || paper.Height < height {
				return nil, fmt.Errorf("%w: page %d is too small for the riding seal", ErrDraft, i+1)
			}
			left := slice * float64(i-first)
			list = append(list, Stamp{
				Page: i,
				Box:  Box{paper.X + paper.Width - slice - left, paper.Y + (paper.Height-height)/2, width, height},
				Clip: &Box{left, 0, slice, height},
			})
		}
	}
	return list, nil
}

// paper returns the size of the i-th page without reading what is on it.
func (p *Package) paper(i int) (Box, error) {
	d, err := p.Document()
	if err != nil {
		return Box{}, err
	}
	if i < 0 || i >= len(d.Pages) {
		return Box{}, fmt.Errorf("%w: page %d of %d", ErrNotFound, i+1, len(d.Pages))
	}
	root, err := p.parse(d.Pages[i].Path)
	if err != nil {
		return Box{}, err
	}
	return readArea(root.Child("Area"), d.Area)
}
