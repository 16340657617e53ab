// Opens pages that are full of foreign text which wants to be more, and sees that it is not.
import {check} from './visit.mjs';

const atOnce = 4;

/** pages opens each path and what its lists lead on to. Foreign text calls xss(n) where it
 * comes alive; it has to be read at least so many times. */
export async function pages(v, {paths, least = 0}) {
  const alive = [];
  await v.context.exposeBinding('xss', ({frame}, n) => alive.push(`payload ${n} ran at ${frame.url()}`));
  // The frame with the mail itself holds foreign HTML as it is: that its browser reports
  // there what its policy refused is what that is for. The pages' own policy names 'self'.
  v.allow.push(/^the console says: .*\(http[^)]*\/(html|preview)[^)]*\)$/s, /violates the following Content Security Policy directive(?!.*'self')/s,
    /Blocked script execution in '(about:srcdoc|[^']*\/(html|preview)[^']*)'/, /^a request left for elsewhere/); // of that tells the one it was to come to
  const queue = [...paths];
  let texts = 0;
  await Promise.all(Array.from({length: atOnce}, async () => {
    const page = await v.context.newPage();
    for (let path; (path = queue.shift());) {
      await page.goto(path);
      if (path.endsWith('/html')) { // the mail alone, as a page of its own: it has no scripts to ask with
        await page.waitForTimeout(20);
        continue;
      }
      texts += await provoke(page);
      for (const f of await page.evaluate(foreignElements)) alive.push(`${path} has ${f}`);
      const on = await page.locator('a.next').evaluateAll((all) => all.map((a) => a.getAttribute('href')));
      for (const href of on) queue.push(href);
      check(new URL(page.url()).pathname === new URL(path, v.base).pathname, `${path} led to ${page.url()}`);
    }
  }));
  check(!alive.length, alive.join('\n'));
  check(texts >= least, `the pages show the payloads ${texts} times, want ${least}`);
}

/** provoke does what a reader might, and counts the payloads that can be read. */
function provoke(page) {
  return page.evaluate(async () => {
    for (const d of document.querySelectorAll('details')) d.open = true;
    for (const e of document.querySelectorAll('main *')) {
      for (const type of ['mouseover', 'mouseenter', 'pointerover', 'focus', 'focusin', 'toggle', 'animationstart']) e.dispatchEvent(new Event(type, {bubbles: true}));
    }
    await new Promise((done) => setTimeout(done, 20));
    return (document.body.innerText.match(/xss\(/g) || []).length;
  });
}

/** foreignElements lists what no page of ours has: run in the page. */
function foreignElements() {
  const found = [];
  const ours = /^\/ui\/(style\.css|live\.js|edit\.js|icon\.svg)\?v=/;
  for (const e of document.querySelectorAll('*')) {
    const name = e.localName;
    for (const a of e.attributes) {
      if (a.name.startsWith('on')) found.push(`${name} with ${a.name}`);
      if ((a.name === 'style' && !/^--scale: [\d.]+;$/.test(a.value)) || a.name === 'srcdoc') found.push(`${name} with ${a.name}`);
      if (/^(href|src|action|formaction|xlink:href|data|poster)$/.test(a.name) && !/^(\/|#|\?)(?!\/)/.test(a.value)) found.push(`${name} with ${a.name}=${a.value}`);
    }
    if (/^(object|embed|base|style|math|foreignobject|template|video|audio|marquee)$/.test(name)) found.push(name);
    if (name === 'script' && !ours.test(e.getAttribute('src') ?? '')) found.push('a script');
    if (name === 'link' && !ours.test(e.getAttribute('href') ?? '')) found.push('a link element');
    if (name === 'img' && !ours.test(e.getAttribute('src') ?? '')) found.push('an image');
    if (name === 'meta' && e.httpEquiv && !e.closest('noscript')) found.push('a meta element');
    if (name === 'iframe' && (e.getAttribute('sandbox') ?? 'allow-scripts').includes('allow-scripts')) found.push('a frame that may run scripts');
  }
  return found;
}
