// A visit is one reader with a browser of their own, whose page must behave: nothing of it
// may fail, be refused by its policy, or ask another host for anything.

/** visit opens a page as args want it: base, width, scheme, session. */
export async function visit(browser, {base, width = 1280, scheme = 'light', session}) {
  const context = await browser.newContext({
    baseURL: base, viewport: {width, height: width < 600 ? 812 : 900}, colorScheme: scheme, reducedMotion: 'reduce',
    storageState: session, locale: 'en-GB', timezoneId: 'Europe/Berlin', hasTouch: width < 600,
    permissions: ['clipboard-read', 'clipboard-write'],
  });
  context.setDefaultTimeout(20_000);
  const v = {context, base, faults: [], asked: [], allow: []};
  const fault = (text) => v.faults.push(text);
  // What a page of ours asks before it does what cannot be undone is answered with yes.
  context.on('dialog', (d) => {
    v.asked.push(d.message());
    if (d.type() !== 'confirm') fault(`a dialog opened: ${d.type()} ${d.message()}`);
    d.accept().catch(() => {});
  });
  context.on('weberror', (e) => fault(`a script failed: ${e.error()}`));
  context.on('console', (m) => {
    if (m.type() === 'error' || m.type() === 'warning') fault(`the console says: ${m.text()} (${m.location().url})`);
  });
  context.on('request', (r) => {
    const url = new URL(r.url());
    if (url.protocol !== 'data:' && url.protocol !== 'blob:' && url.origin !== base) fault(`a request left for elsewhere: ${r.url()}`);
  });
  v.page = await context.newPage();

  /** judge throws what went wrong, but what a step allows. */
  v.judge = () => {
    if (left().length) throw new Error(left().slice(0, 20).join('\n'));
  };
  const left = () => v.faults.filter((f) => !v.allow.some((pattern) => pattern.test(f)));
  v.describe = async () => {
    try {
      const text = await v.page.locator('body').innerText({timeout: 1000});
      return `at ${v.page.url()}:\n${text.split('\n').filter((l) => l.trim()).slice(0, 60).join('\n')}\n${left().slice(0, 20).join('\n')}`;
    } catch {
      return `at ${v.page.url()}\n${left().slice(0, 20).join('\n')}`;
    }
  };
  return v;
}

/** until waits for a condition that a page comes to by itself, or by being loaded again. */
export async function until(what, ok, page) {
  for (const end = Date.now() + 20_000; Date.now() < end;) {
    if (await ok()) return;
    await page.waitForTimeout(150);
    if (page.url().startsWith('http')) await page.reload();
  }
  throw new Error(`it never came to this: ${what}`);
}

export function check(ok, what) {
  if (!ok) throw new Error(what);
}
