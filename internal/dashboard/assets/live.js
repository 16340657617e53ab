// What pages do beyond HTML: they stay current, tell times where their reader is, and
// can be used from the keyboard. Without this script they work all the same.
'use strict';
(() => {
  const body = document.body;

  // Times as the browser's own clock tells them; the exact one is in the title.
  function tell(root) {
    const now = new Date();
    for (const t of root.querySelectorAll('time[datetime]')) {
      const at = new Date(t.dateTime);
      if (isNaN(at)) continue;
      const parts = {hour: '2-digit', minute: '2-digit', hourCycle: 'h23'};
      if (at.toDateString() === now.toDateString()) parts.second = '2-digit';
      else Object.assign(parts, {day: 'numeric', month: 'short'}, at.getFullYear() === now.getFullYear() ? {} : {year: 'numeric'});
      t.textContent = at.toLocaleString('en-GB', parts).replace(',', '');
      t.title = at.toLocaleString('en-GB', {dateStyle: 'full', timeStyle: 'long'}) + ' (' + t.dateTime + ')';
    }
  }

  // Parts of a page that changed are put in the places of the old ones.
  const seen = new Map();
  const parts = (root) => root.querySelectorAll('[data-part]');
  for (const p of parts(document)) seen.set(p.id, p.innerHTML);

  function busy(part) {
    const s = getSelection();
    const a = document.activeElement;
    return (!s.isCollapsed && s.containsNode(part, true)) || (part.contains(a) && a.matches('input, select, textarea'));
  }

  function replace(old, fresh) {
    const a = document.activeElement;
    const focus = old.contains(a) ? [...old.querySelectorAll('a, button, summary')].indexOf(a) : -1;
    for (const d of old.querySelectorAll('details[id]')) {
      const same = fresh.querySelector('#' + CSS.escape(d.id));
      if (same) same.open = d.open;
    }
    tell(fresh);
    old.replaceWith(fresh);
    if (focus >= 0) {
      const to = fresh.querySelectorAll('a, button, summary')[focus];
      if (to) to.focus({preventScroll: true});
    }
  }

  // The session ended: what is shown stays, and says that it is old.
  function signedOut() {
    body.classList.add('stale');
    for (const live of document.querySelectorAll('.live')) {
      const link = document.createElement('a');
      [link.href, link.textContent] = [location.href, 'sign in'];
      live.replaceChildren(Object.assign(document.createElement('span'), {className: 'pulse'}), 'Signed out · ', link);
    }
  }

  async function look() {
    const seconds = Number(body.dataset.live || 0);
    if (!seconds) return;
    let wait = seconds * 1000;
    if (!document.hidden) {
      try {
        // The page stays in its world, whatever was chosen in another tab.
        const here = new URL(location.href);
        here.searchParams.set('world', body.dataset.world);
        const r = await fetch(here, {redirect: 'manual', cache: 'no-store'});
        if (r.type === 'opaqueredirect') return signedOut();
        if (!r.ok) throw new Error(r.status);
        const page = new DOMParser().parseFromString(await r.text(), 'text/html');
        for (const fresh of parts(page)) {
          const old = document.getElementById(fresh.id);
          if (!old || seen.get(fresh.id) === fresh.innerHTML || busy(old)) continue;
          seen.set(fresh.id, fresh.innerHTML);
          replace(old, document.adoptNode(fresh));
        }
        body.dataset.live = page.body.dataset.live || '0';
        body.classList.remove('stale');
      } catch {
        body.classList.add('stale');
        wait *= 3;
      }
    }
    setTimeout(look, wait);
  }

  // Keys: / to the search, j and k along a list, Escape out of a field.
  document.addEventListener('keydown', (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    const field = e.target.closest('input, select, textarea');
    if (field) {
      if (e.key === 'Escape') field.blur();
      return;
    }
    if (e.key === '/') {
      const search = document.querySelector('input[type=search]');
      if (search) { e.preventDefault(); search.focus(); search.select(); }
    } else if (e.key === 'j' || e.key === 'k') {
      const rows = [...document.querySelectorAll('a.row')];
      const at = rows.indexOf(document.activeElement);
      const to = rows[e.key === 'j' ? at + 1 : Math.max(0, at - 1)];
      if (to) to.focus();
    }
  });

  // What cannot be undone asks first.
  document.addEventListener('submit', (e) => {
    const ask = e.submitter && e.submitter.dataset.ask;
    if (ask && !confirm(ask)) e.preventDefault();
  });

  // Choices that take effect at once.
  document.addEventListener('change', (e) => {
    if (e.target.matches('select[data-go]')) e.target.form.requestSubmit();
  });

  // Copies a record or a command.
  document.addEventListener('click', (e) => {
    const b = e.target.closest('button[data-copy]');
    if (!b) return;
    const from = document.getElementById(b.dataset.copy);
    navigator.clipboard.writeText(from.textContent).then(() => {
      b.textContent = 'Copied';
      setTimeout(() => { b.textContent = 'Copy'; }, 1500);
    });
  });

  // Where the bar of pages is longer than the screen it shows the page that is open.
  const nav = document.querySelector('.nav');
  const here = nav && nav.querySelector('[aria-current]');
  if (here) nav.scrollLeft = here.offsetLeft - (nav.clientWidth - here.offsetWidth) / 2;

  body.classList.add('js');
  tell(document);
  if (body.dataset.live) setTimeout(look, Number(body.dataset.live) * 1000);
})();
