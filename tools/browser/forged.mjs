// A page elsewhere wants to act in the name of its reader.

/** posts lets a page of another origin send each form, in every way that a page can, and
 * gives the answers as [path, way, status]. */
export async function posts(v, {elsewhere, base, forms}) {
  v.allow.push(/./); // browsers complain of all of it
  const {page} = v;
  // What was refused the browser tells nobody but its console: the status, or for fetch
  // that it may not even be known.
  const answers = () => v.faults.flatMap((f) => {
    const said = /status of (\d+) .*\((http[^)]*)\)$/.exec(f) ?? /ERR_BLOCKED_BY_RESPONSE.NotSameOrigin()? \((http[^)]*)\)$/.exec(f);
    if (!said) return [];
    const url = new URL(said[2]);
    return [[url.pathname, url.searchParams.get('way') ?? '', Number(said[1] ?? 0)]];
  });
  await page.goto(elsewhere);
  let sent = 0;
  for (const {path, fields} of forms) {
    for (const way of ['application/x-www-form-urlencoded', 'multipart/form-data', 'text/plain']) {
      await page.evaluate(({to, way, fields}) => {
        const name = 'f' + Math.random();
        const frame = document.body.appendChild(document.createElement('iframe'));
        frame.name = name;
        const form = document.body.appendChild(document.createElement('form'));
        Object.assign(form, {method: 'post', action: to, enctype: way, target: name});
        for (const [k, value] of Object.entries(fields)) {
          const input = form.appendChild(document.createElement('input'));
          Object.assign(input, {name: k, value});
        }
        form.submit();
      }, {to: `${base}${path}?way=${encodeURIComponent(way)}`, way, fields});
      sent++;
    }
    await page.evaluate(async ({to, fields}) => {
      await fetch(to, {method: 'POST', mode: 'no-cors', credentials: 'include', body: new URLSearchParams(fields)}).catch(() => {});
    }, {to: `${base}${path}?way=fetch`, fields});
    sent++;
  }
  for (const end = Date.now() + 10_000; answers().length < sent && Date.now() < end;) await page.waitForTimeout(50);
  return {sent, answers: answers()};
}

/** framed wants to show pages inside another, to lead clicks astray; gives those it can. */
export async function framed(v, {elsewhere, base, paths}) {
  v.allow.push(/./);
  const {page} = v;
  await page.goto(elsewhere);
  const shown = [];
  for (const path of paths) {
    await page.evaluate((src) => new Promise((done) => {
      const f = document.body.appendChild(document.createElement('iframe'));
      f.onload = done;
      f.src = src;
    }), base + path);
    for (const f of page.frames()) {
      if (f.url().startsWith(base) && await f.locator('main').count()) shown.push(path);
    }
  }
  return shown;
}
