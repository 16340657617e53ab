// axe on pages: nothing serious or critical; and what it does not see of tables.
import {readFile} from 'node:fs/promises';
import {createRequire} from 'node:module';

const source = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

const atOnce = 3;
const colors = ['color-contrast', 'link-in-text-block'];

/** pages looks at each path, and gives what is found and how many rules were passed. A
 * page in the dark differs in its colors alone: only those are looked at again. */
export async function pages(v, {paths}) {
  v.allow.push(/Failed to load resource.*404/);
  let passed = 0;
  const found = [];
  const queue = [...paths];
  await Promise.all(Array.from({length: atOnce}, async () => {
    const page = await v.context.newPage();
    for (let path; (path = queue.shift());) {
      await page.emulateMedia({colorScheme: 'light'});
      await page.goto(path);
      // Folded parts are looked at as well.
      await page.evaluate(() => document.querySelectorAll('details').forEach((d) => { d.open = true; }));
      await page.evaluate(source);
      const light = await axe(page);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      if (wide > 0) found.push(`${path}: serious: it is ${wide} px wider than the screen`);
      for (const look of [tables, covered]) found.push(...(await page.evaluate(look)).map((f) => `${path}: ${f}`));
      await page.emulateMedia({colorScheme: 'dark'});
      const dark = await axe(page, colors);
      passed += light.passes.length + dark.passes.length;
      found.push(...findings(`${path} light`, light), ...findings(`${path} dark`, dark));
    }
    await page.close();
  }));
  return {passed, found};
}

/** tables finds cells whose label on a phone is not the heading of their column, parts of
 * tables without the role that their look as cards takes from them, and what scrolls
 * sideways or is cut, but for code and the numbers of a chart. */
function tables() {
  const found = [];
  for (const table of document.querySelectorAll('.cards')) {
    const heads = [...table.tHead.rows[0].cells].map((h) => h.textContent.trim());
    for (const cell of table.querySelectorAll('tbody td:not(.do)')) {
      const head = heads[cell.cellIndex];
      if (cell.dataset.label !== head) found.push(`a cell under ${head} has the label ${cell.dataset.label}`);
    }
  }
  for (const e of document.querySelectorAll('table, table :is(thead, tbody, tr, th, td)')) {
    if (!e.role) found.push(`a ${e.tagName} does not say its role`);
  }
  for (const e of document.querySelectorAll('main *:not(.tall, textarea, .diff > .scroll)')) {
    const wide = e.scrollWidth - e.clientWidth;
    if (wide > 0 && ['auto', 'scroll'].includes(getComputedStyle(e).overflowX)) found.push(`${e.tagName} ${e.className} is ${wide} px wider than its place`);
  }
  for (const e of document.querySelectorAll('.status')) {
    const {left, right} = e.getBoundingClientRect();
    if (left < 0 || right > innerWidth) found.push(`the badge ${e.textContent} is cut`);
  }
  return found;
}

/** covered finds buttons of a row of a list that lie on its text. Text counts as far as the
 * elements around it show it. */
function covered() {
  const found = [];
  const meet = (a, b) => ({left: Math.max(a.left, b.left), right: Math.min(a.right, b.right), top: Math.max(a.top, b.top), bottom: Math.min(a.bottom, b.bottom)});
  const seen = (r) => r.right - r.left > 1 && r.bottom - r.top > 1;
  const range = document.createRange();
  for (const row of document.querySelectorAll('main li:has(button)')) {
    const buttons = [...row.querySelectorAll('button')].map((b) => [b, b.getBoundingClientRect()]).filter(([, r]) => seen(r));
    const texts = document.createTreeWalker(row, NodeFilter.SHOW_TEXT);
    for (let t; (t = texts.nextNode());) {
      if (!t.data.trim() || t.parentElement.closest('button, .sr')) continue;
      range.selectNodeContents(t);
      let rects = [...range.getClientRects()];
      for (let e = t.parentElement; e !== row; e = e.parentElement) {
        if (getComputedStyle(e).overflowX !== 'visible') rects = rects.map((r) => meet(r, e.getBoundingClientRect()));
      }
      for (const [b, at] of buttons) {
        if (rects.some((r) => seen(meet(r, at)))) found.push(`the button ${b.textContent} lies on “${t.data.trim()}”`);
      }
    }
  }
  return found;
}

/** axe runs these rules on a page, or all. */
const axe = (page, rules) => page.evaluate((runOnly) => window.axe.run(document, {resultTypes: ['violations'], iframes: false, ...(runOnly && {runOnly})}), rules);

const findings = (where, {violations}) => violations.flatMap((f) => f.nodes.map((n) =>
  `${where}: ${f.impact}: ${f.id}: ${f.help}: ${n.target.join(' ')}\n    ${n.html.slice(0, 160)}\n    ${(n.any[0] ?? n.all[0] ?? n.none[0])?.message ?? ''}`));
