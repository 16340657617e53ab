package dashboard

import (
	"errors"
	"net/http"

	"postrider/internal/signin"
	"postrider/internal/store"
)

type accountPage struct {
	frame
	User     *store.User
	Sessions []signin.Session
	Problem  string
	Least    int
}

func (d *dashboard) accountPage(v *visit) error { return d.account(v, http.StatusOK, "") }

// account answers with somebody's own page, and what was wrong with a new password.
func (d *dashboard) account(v *visit, status int, problem string) error {
	p := accountPage{frame: d.frame(v, "Your account"), User: v.by.user, Problem: problem, Least: signin.MinPassword}
	var err error
	if p.Sessions, err = d.SignIn.Sessions(v.Context(), v.by.user, d.sessionToken(v.Request)); err != nil {
		return err
	}
	return d.write(v, status, "account.html", p)
}

func (d *dashboard) changePassword(v *visit) (string, error) {
	err := twice(v)
	if err == nil {
		var token string
		token, err = d.SignIn.ChangePassword(v.Context(), v.by.user, v.PostFormValue("old"), v.PostFormValue("password"), d.place(v.Request))
		if err == nil {
			d.setSession(v, token)
			return done("/ui/account", "password"), nil
		}
	}
	status, problem := explained(v, err)
	if status == 0 {
		return "", err
	}
	if errors.Is(err, signin.ErrWrong) {
		status, problem = http.StatusUnprocessableEntity, "The password until now is another."
	}
	return "", d.account(v, status, problem)
}

// endSession ends one of one's own sessions.
func (d *dashboard) endSession(v *visit) (string, error) {
	err := d.SignIn.EndSession(v.Context(), v.by.user, v.PathValue("id"))
	if errors.Is(err, store.ErrNotFound) {
		return "", refused("This session has ended already.")
	}
	if err != nil {
		return "", err
	}
	return done("/ui/account", "session-ended"), nil
}

func (d *dashboard) signOutOthers(v *visit) (string, error) {
	if err := d.SignIn.SignOutOthers(v.Context(), d.sessionToken(v.Request)); err != nil {
		return "", err
	}
	return done("/ui/account", "others-ended"), nil
}

func (d *dashboard) signOutEverywhere(v *visit) (string, error) {
	if err := d.SignIn.SignOutEverywhere(v.Context(), signin.Actor(v.by.Name), v.by.user.ID); err != nil {
		return "", err
	}
	d.setSession(v, "")
	return "/ui/sign-in", nil
}
