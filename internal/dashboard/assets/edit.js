// The editor of templates: the preview follows what is typed, lines have numbers, and
// nothing typed is lost by leaving. Without this script, the buttons Check and Preview do
// the same by hand.
'use strict';
(() => {
  const form = document.querySelector('form.studio');
  if (!form) return;
  const state = document.getElementById('state');
  const content = () => new URLSearchParams(new FormData(form));
  const texts = () => { const c = content(); for (const name of ['part', 'view', 'scheme', 'images', 'token', 'sample']) c.delete(name); return c.toString(); };
  const first = texts();
  // A page that came back with what was entered: that is not saved.
  const unsaved = 'unsaved' in form.dataset;
  let dirty = unsaved, leaving = false, mayGo = false;

  // Line numbers beside a text.
  for (const area of form.querySelectorAll('textarea[data-code]')) {
    const gutter = document.createElement('pre');
    gutter.className = 'gutter';
    gutter.setAttribute('aria-hidden', 'true');
    area.before(gutter);
    let lines = 0;
    const number = () => {
      const n = area.value.split('\n').length;
      if (n !== lines) gutter.textContent = Array.from({length: n}, (_, i) => i + 1).join('\n') + '\n\n';
      lines = n;
      gutter.scrollTop = area.scrollTop;
    };
    area.addEventListener('input', number);
    area.addEventListener('scroll', () => { gutter.scrollTop = area.scrollTop; });
    number();
  }

  // A desk is wider than the room beside the source: its mail is shown smaller.
  const frames = form.querySelector('.frames'), desk = 680;
  function fit() {
    const room = frames.parentElement.clientWidth;
    const small = form.elements.view.value === 'desk' && room > 0 && room < desk;
    frames.classList.toggle('small', small);
    frames.style.setProperty('--scale', small ? room / desk : 1);
  }
  if (frames.parentElement.clientWidth < 420) form.elements.view.value = 'phone';
  new ResizeObserver(fit).observe(frames.parentElement);
  form.addEventListener('change', (e) => { if (e.target.name === 'view') fit(); });

  // From a fault to its place.
  document.addEventListener('click', (e) => {
    const at = e.target.closest('[data-line] strong');
    const fault = at && at.closest('[data-line]');
    const area = fault && form.elements[fault.dataset.field];
    if (!area || area.value === undefined) return;
    const lines = area.value.split('\n');
    let from = 0;
    for (let i = 0; i < fault.dataset.line - 1 && i < lines.length; i++) from += lines[i].length + 1;
    from += [...(lines[fault.dataset.line - 1] || '')].slice(0, fault.dataset.column - 1).join('').length;
    area.focus();
    area.setSelectionRange(from, from + 1);
    if (area.matches('textarea')) area.scrollTop = (fault.dataset.line - 4) * parseFloat(getComputedStyle(area).lineHeight);
  });

  function mark() {
    dirty = unsaved || texts() !== first;
    if (state) state.textContent = dirty ? 'Not saved yet' : '';
    for (const a of document.querySelectorAll('[data-needs-saved]')) {
      if (dirty) { a.setAttribute('aria-disabled', 'true'); a.title = 'Save the draft first'; } else { a.removeAttribute('aria-disabled'); a.removeAttribute('title'); }
    }
  }

  // What a failed question says: the number of the answer, or that there was none.
  const why = (e) => `the server ${/^\d+$/.test(e.message) ? 'answers ' + e.message : 'does not answer'}.`;

  // A session may have ended since the page was made, or be another by now: the page as it
  // would be made now has the token of that. Nothing is sent off to be refused.
  async function signedIn() {
    const r = await fetch(location.pathname, {redirect: 'manual', cache: 'no-store'});
    if (!r.ok) {
      if (r.type !== 'opaqueredirect') throw new Error(r.status);
      const link = document.createElement('a');
      [link.href, link.target, link.textContent] = ['/ui/sign-in', '_blank', 'Sign in'];
      state.replaceChildren('You are signed out. ', link, ' in another tab, then go on here: what you typed stays.');
      return false;
    }
    const page = new DOMParser().parseFromString(await r.text(), 'text/html');
    const token = page.querySelector('form.studio input[name=token]');
    if (token) form.elements.token.value = token.value;
    return true;
  }
  form.addEventListener('submit', async (e) => {
    const by = e.submitter;
    if (mayGo || e.defaultPrevented || (by && by.id === 'to-frame')) return;
    e.preventDefault();
    try {
      mayGo = await signedIn();
    } catch (e) {
      state.textContent = 'Not sent: ' + why(e) + ' What you typed stays here.';
    }
    if (mayGo) form.requestSubmit(by);
    mayGo = false;
  });

  if (!form.dataset.check) return;

  // What the server makes of the fields: faults and notes into their places.
  let asked = 0, last = '';
  async function check(extra, again) {
    const mine = ++asked;
    const body = content();
    for (const [name, value] of Object.entries(extra || {})) body.set(name, value);
    try {
      const r = await fetch(form.dataset.check, {method: 'POST', body, redirect: 'error', cache: 'no-store'});
      if (mine !== asked) return;
      if ((r.status === 401 || r.status === 403) && !again) {
        if (await signedIn() && mine === asked) check(extra, true);
        return;
      }
      if (!r.ok) throw new Error(r.status);
      const page = new DOMParser().parseFromString(await r.text(), 'text/html');
      for (const fresh of page.querySelectorAll('[data-part]')) {
        const old = document.getElementById(fresh.id);
        if (!old || (fresh.id === 'rows' && !(extra && extra.do)) || old.innerHTML === fresh.innerHTML) continue;
        old.replaceWith(document.adoptNode(fresh));
      }
      if (extra) refill(form.elements.sample, page.querySelector('textarea[name=sample]').value);
      form.classList.remove('stale');
      frame();
      mark();
    } catch (e) {
      if (mine === asked && state) state.textContent = 'The preview does not follow: ' + why(e);
    }
  }

  function refill(area, value) {
    if (area.value === value) return;
    area.value = value;
    area.dispatchEvent(new Event('input', {bubbles: true}));
  }

  // The mail itself goes into a new frame, which takes the place of the one before once
  // it is there: nothing flickers, and the browser's history gets no entry for it.
  function frame() {
    const now = content();
    now.delete('part'); now.delete('view');
    if (now.toString() === last) return;
    last = now.toString();
    const old = form.querySelector('.frames iframe:not(.next)');
    for (const stale of form.querySelectorAll('.frames .next')) stale.remove();
    const next = document.createElement('iframe');
    next.setAttribute('sandbox', old.getAttribute('sandbox'));
    next.title = old.title;
    next.name = 'frame-' + asked;
    next.className = 'next';
    old.before(next);
    const by = document.getElementById('to-frame');
    by.formTarget = next.name;
    leaving = true;
    form.requestSubmit(by);
    leaving = false;
    next.addEventListener('load', () => {
      if (next.className !== 'next') return;
      next.className = '';
      old.remove();
    });
  }

  if (unsaved) { mark(); frame(); }
  let timer = 0;
  const soon = (ms) => { clearTimeout(timer); timer = setTimeout(() => check(), ms); };
  form.addEventListener('input', (e) => {
    if (e.target.name === 'part' || e.target.name === 'view') return;
    mark();
    soon(e.target.matches('[type=checkbox], select') ? 0 : 350);
  });
  form.addEventListener('click', (e) => {
    const now = e.target.closest('[data-check-now]');
    if (!now) return;
    e.preventDefault();
    check({do: now.value});
  });
  form.addEventListener('submit', (e) => {
    if (e.submitter && e.submitter.id === 'to-frame') return;
    leaving = true;
    setTimeout(() => { leaving = !e.defaultPrevented; });
  });
  addEventListener('beforeunload', (e) => { if (dirty && !leaving) e.preventDefault(); });
  document.addEventListener('keydown', (e) => {
    const save = form.querySelector('[data-save]');
    if ((e.ctrlKey || e.metaKey) && e.key === 's' && save) { e.preventDefault(); form.requestSubmit(save); }
  });
})();
