package dashboard

import "slices"

// partShown is how many items of a list that is read whole a page has.
const partShown = 50

// part is where a page stands in such a list.
type part struct {
	First string // the address of the first page; empty: this is it
	Next  string // of the next one; empty: there is none
}

// partOf is the part of a list that begins with the item that the address names by its id,
// or with the first one.
func partOf[T any](v *visit, path string, list []T, id func(T) string) ([]T, part, error) {
	var p part
	if from := v.URL.Query().Get("from"); from != "" {
		at := slices.IndexFunc(list, func(item T) bool { return id(item) == from })
		if at < 0 {
			return nil, p, refused("The page that you asked for begins with something that is not there any more.")
		}
		list, p.First = list[at:], path
	}
	if len(list) > partShown {
		p.Next = with(path, nil, "from", id(list[partShown]))
		list = list[:partShown]
	}
	return list, p, nil
}
