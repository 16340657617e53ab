package dashboard

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"time"

	"postrider/internal/store"
)

// formKept is how long a form that was used is known: as long as a session, whose token
// its forms hold.
const formKept = 7 * 24 * time.Hour

// once does an action once for each form that was shown. What it shows is shown once, by
// the answer to the form, and whoever loads that page again sends the form again.
func (d *dashboard) once(action func(*visit) (string, error)) func(*visit) (string, error) {
	return func(v *visit) (string, error) {
		nonce := v.PostFormValue("nonce")
		if nonce == "" {
			return "", &refusal{http.StatusUnprocessableEntity, "The page was too old", "Its form has no mark by which a repetition can be told. Nothing was done. Load the page again and repeat."}
		}
		used := sha256.Sum256([]byte(v.URL.Path + "\x00" + nonce))
		form := []store.Try{{Of: "form:" + hex.EncodeToString(used[:16]), Most: 1, Per: formKept}}
		wait, err := d.Store.Tries.Take(v.Context(), form)
		if err != nil {
			return "", err
		}
		if wait > 0 {
			// The page that was loaded again is this action's answer, and no page to go back to.
			v.back = strings.Join(strings.SplitN(v.URL.Path, "/", 4)[:3], "/")
			return "", &refusal{http.StatusConflict, "Done already", "This form was sent before, and is done once. Nothing was done now. What it made was shown once: if you did not keep it, make a new one."}
		}
		to, err := action(v)
		var why *refusal
		// Of any other error nobody knows whether it came too late.
		if v.deed == nil && (err == nil || errors.As(err, &why) || errors.Is(err, store.ErrNotFound)) {
			if err := d.Store.Tries.Forgive(v.Context(), form); err != nil {
				d.Log.Warn("a form that did nothing cannot be sent again", "page", v.Pattern, "error", err)
			}
		}
		return to, err
	}
}
