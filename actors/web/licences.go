package web

// Licences are the licences of what the dashboard's script is made of. Empty
// when the dashboard was built without them.
func Licences() string { return string(files()["licenses.txt"].data) }
