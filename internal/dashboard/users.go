package dashboard

import (
	"net/http"
	"time"

	"postrider/internal/signin"
	"postrider/internal/store"
)

type usersPage struct {
	frame
	part
	People  []person
	Roles   []store.Role
	Problem string
	Name    string // as entered

	// Link is shown once, for the person called For.
	Link, For string
	Until     time.Time
}

// person is a user as the page shows one.
type person struct {
	*store.User
	Self bool
}

// State is a word for how things stand.
func (p person) State() string {
	switch {
	case p.Disabled:
		return "disabled"
	case p.Password == "":
		return "invited"
	}
	return "active"
}

func (d *dashboard) usersPage(v *visit) error { return d.users(v, http.StatusOK, usersPage{}) }

// users answers with the list, and what p adds to it.
func (d *dashboard) users(v *visit, status int, p usersPage) error {
	list, err := d.SignIn.Store.Users.List(v.Context())
	if err == nil {
		list, p.part, err = partOf(v, "/ui/users", list, func(u *store.User) string { return u.ID })
	}
	if err != nil {
		return err
	}
	for _, u := range list {
		p.People = append(p.People, person{u, u.ID == v.by.user.ID})
	}
	p.frame, p.Roles = d.frame(v, "Users"), signin.Roles()
	p.At = "/ui/users"
	return d.write(v, status, "users.html", p)
}

// draft is what a form makes of a user.
func draft(v *visit) signin.Draft {
	return signin.Draft{
		Role: store.Role(v.PostFormValue("role")), ReadsMail: v.PostFormValue("reads") != "", Disabled: v.PostFormValue("disabled") != "",
	}
}

func (d *dashboard) invite(v *visit) (string, error) {
	name := v.PostFormValue("name")
	u, token, err := d.SignIn.Invite(v.Context(), signin.Actor(v.by.Name), name, draft(v))
	return "", d.answer(v, u, token, name, err)
}

func (d *dashboard) linkUser(v *visit) (string, error) {
	u, token, err := d.SignIn.Link(v.Context(), signin.Actor(v.by.Name), v.PathValue("id"))
	return "", d.answer(v, u, token, "", err)
}

// answer shows a link, or what was wrong with what was entered.
func (d *dashboard) answer(v *visit, u *store.User, token, name string, err error) error {
	if err != nil {
		status, problem := explained(v, err)
		if status == 0 {
			return err
		}
		return d.users(v, status, usersPage{Problem: problem, Name: name})
	}
	v.did(u.ID, "")
	return d.users(v, http.StatusOK, usersPage{Link: d.BaseURL + signin.LinkPath + token, For: u.Name, Until: u.LinkUntil})
}

func (d *dashboard) changeUser(v *visit) (string, error) {
	_, err := d.SignIn.Change(v.Context(), signin.Actor(v.by.Name), v.PathValue("id"), draft(v))
	return d.changed(v, "user-changed", err)
}

func (d *dashboard) removeUser(v *visit) (string, error) {
	err := d.SignIn.Remove(v.Context(), signin.Actor(v.by.Name), v.PathValue("id"))
	return d.changed(v, "user-removed", err)
}

// signOutUser ends all sessions of a user.
func (d *dashboard) signOutUser(v *visit) (string, error) {
	err := d.SignIn.SignOutEverywhere(v.Context(), signin.Actor(v.by.Name), v.PathValue("id"))
	return d.changed(v, "user-signed-out", err)
}

// changed leads back to the list.
func (d *dashboard) changed(v *visit, word string, err error) (string, error) {
	if err == nil {
		return done("/ui/users", word), nil
	}
	status, problem := explained(v, err)
	if status == 0 {
		return "", err
	}
	return "", d.users(v, status, usersPage{Problem: problem})
}
