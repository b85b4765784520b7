package ofd

import (
	"errors"
	"fmt"
	"math"
	"path"
	"strconv"
	"strings"

	"github.com/onewindow/onewindow/signing/ofd/internal/xmltree"
)

// Namespace is the XML namespace of OFD (GB/T 33190-2016).
const Namespace = "http://www.ofdspec.org/2016"

// draftNamespace is that of the drafts before the standard, which producers still write.
const draftNamespace = "http://www.ofdspec.org"

// parseXML reads a part whose root is in OFD's namespace. Its elements are those
// of the root's namespace: one part never mixes the two.
func parseXML(name string, data []byte) (*xmltree.Node, error) {
	root, err := xmltree.Parse(data, xmlLimits)
	if err != nil {
		kind := ErrXML
		if errors.Is(err, xmltree.ErrLimit) {
			kind = ErrLimit
		}
		return nil, fmt.Errorf("%w: %s: %w", kind, name, err)
	}
	if root.Space != Namespace && root.Space != draftNamespace {
		return nil, fmt.Errorf("%w: %s is in the namespace %.60q", ErrDocument, name, root.Space)
	}
	return root, nil
}

// only returns the child of that name; several are an error, none is nil.
func only(n *xmltree.Node, name string) (*xmltree.Node, error) {
	switch list := n.Children(name); len(list) {
	case 0:
		return nil, nil //nolint:nilnil // absence is not an error: most elements are optional
	case 1:
		return list[0], nil
	default:
		return nil, fmt.Errorf("%w: %d elements %s in %s", ErrDocument, len(list), name, n.Name)
	}
}

// text returns the trimmed text of the only child of that name, empty if absent.
func text(n *xmltree.Node, name string) (string, error) {
	child, err := only(n, name)
	if err != nil || child == nil {
		return "", err
	}
	return strings.TrimSpace(child.Text), nil
}

// resolve makes a location (ST_Loc) in the part `from`, below the folder base of a
// resource part, a path from the container's root without a leading slash.
func resolve(from, base, loc string) (string, error) {
	loc = strings.TrimSpace(loc)
	// Some producers write the backslashes of their own system.
	loc = strings.ReplaceAll(loc, `\`, "/")
	full := loc
	if !strings.HasPrefix(loc, "/") {
		if base = strings.ReplaceAll(base, `\`, "/"); strings.HasPrefix(base, "/") {
			full = path.Join(base, loc)
		} else {
			full = path.Join(path.Dir(from), base, loc)
		}
	}
	full = strings.TrimPrefix(path.Clean(full), "/")
	if loc == "" || full == "." || full == ".." || strings.HasPrefix(full, "../") || len(full) > maxName {
		return "", fmt.Errorf("%w: the location %.80q in %s", ErrDocument, loc, from)
	}
	return full, nil
}

// ID is an identifier, unique within a document (ST_ID). 0 means none.
type ID uint32

func parseID(s string) (ID, error) {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 32)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%w: the ID %.20q", ErrDocument, s)
	}
	return ID(n), nil
}

// idAttr reads an attribute that is an ID or a reference to one; absent is 0.
func idAttr(n *xmltree.Node, name string) (ID, error) {
	s, ok := n.Attr(name)
	if !ok || s == "" {
		return 0, nil
	}
	return parseID(s)
}

// maxNumber bounds lengths in mm and factors: the largest paper is far smaller.
const maxNumber = 1e6

func parseNumber(s string) (float64, error) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(f) || math.Abs(f) > maxNumber || strings.ContainsAny(s, "xXpP_") {
		return 0, fmt.Errorf("%w: the number %.20q", ErrDocument, s)
	}
	return f, nil
}

// numbers reads an ST_Array of numbers.
func numbers(s string) ([]float64, error) {
	fields := strings.Fields(s)
	list := make([]float64, len(fields))
	for i, field := range fields {
		f, err := parseNumber(field)
		if err != nil {
			return nil, err
		}
		list[i] = f
	}
	return list, nil
}

// number reads an attribute that is a number; absent is the default.
func number(n *xmltree.Node, name string, absent float64) (float64, error) {
	s, ok := n.Attr(name)
	if !ok || s == "" {
		return absent, nil
	}
	f, err := parseNumber(strings.TrimSpace(s))
	if err != nil {
		return 0, fmt.Errorf("%s/@%s: %w", n.Name, name, err)
	}
	return f, nil
}

// boolean reads an attribute of XML Schema's type; absent is the default.
func boolean(n *xmltree.Node, name string, absent bool) (bool, error) {
	s, _ := n.Attr(name)
	switch s {
	case "":
		return absent, nil
	case "true", "1":
		return true, nil
	case "false", "0":
		return false, nil
	}
	return false, fmt.Errorf("%w: %s/@%s is %.20q", ErrDocument, n.Name, name, s)
}

// parseBox reads an ST_Box "x y width height".
func parseBox(s string) (Box, error) {
	b, err := parsePlace(s)
	if err == nil && (b.Width < 0 || b.Height < 0) {
		err = fmt.Errorf("%w: the box %.60q", ErrDocument, s)
	}
	return b, err
}

// parsePlace reads the ST_Box that says where an object's coordinates begin: at x
// and y, whatever its size. Some producers write sizes below 0, and readers place
// the object all the same.
func parsePlace(s string) (Box, error) {
	v, err := numbers(s)
	if err != nil || len(v) != 4 {
		return Box{}, fmt.Errorf("%w: the box %.60q", ErrDocument, s)
	}
	return Box{v[0], v[1], v[2], v[3]}, nil
}
